import { expect, test } from "vitest";
import { toSend } from "./lora-file";
import { loraName, nameBeside, pictureName } from "./upload-names";

function safetensors(header: string, numBytes: number): Blob {
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(header.length), true);
  return new Blob([length.buffer, header, new Uint8Array(numBytes)]);
}

const BEGINNING = 64 << 10;

test("a safetensors file is sent whole", async () => {
  const file = safetensors('{"a":{}}', 200_000);
  expect((await toSend(file)).size).toBe(file.size);
});

test("of what cannot be one the beginning is sent, from which the server tells what it is", async () => {
  const pickle = new Blob([new Uint8Array([0x80, 2]), new Uint8Array(200_000)]);
  const zip = new Blob(["PK\u0003\u0004", new Uint8Array(200_000)]);
  const cut = safetensors("{".repeat(200_000), 0).slice(0, 100_000);
  for (const file of [pickle, zip, cut]) {
    expect((await toSend(file)).size).toBe(BEGINNING);
  }
  expect((await toSend(new Blob(["hi"]))).size).toBe(2);
});

test("names lose what the server does not take, and a taken one gets the next number", () => {
  expect(loraName("Ink über alles!.safetensors")).toBe("Ink -ber alles-.safetensors");
  expect(loraName("model.pt")).toBe("model.pt.safetensors");
  expect(loraName("墨.safetensors")).toBe("lora.safetensors");
  expect(pictureName("あ.png")).toBe("picture.png");
  expect(nameBeside("ink.safetensors")).toBe("ink-2.safetensors");
  expect(nameBeside("ink-9.safetensors")).toBe("ink-10.safetensors");
});
