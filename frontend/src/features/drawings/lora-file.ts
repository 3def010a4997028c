/**
 * A file before it is sent. What cannot be a safetensors file by its first bytes is sent in its
 * beginning only: the server needs no more to say what it is, and a checkpoint of ten gigabytes
 * under the wrong name is refused within a moment.
 */

/** Enough for whatever the server recognises a file by. */
const BEGINNING_BYTES = 64 << 10;
/** Eight bytes of length, little end first, then a JSON object of that length. */
const LENGTH_BYTES = 8;
const OPENING_BRACE = 0x7b;

export async function toSend(file: Blob): Promise<Blob> {
  const start = new DataView(await file.slice(0, LENGTH_BYTES + 1).arrayBuffer());
  if (start.byteLength <= LENGTH_BYTES) {
    return file;
  }
  const headerBytes = Number(start.getBigUint64(0, true));
  const mayBe =
    start.getUint8(LENGTH_BYTES) === OPENING_BRACE && LENGTH_BYTES + headerBytes <= file.size;
  return mayBe ? file : file.slice(0, BEGINNING_BYTES);
}
