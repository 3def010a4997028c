/** What a file is called on the server, which takes letters, digits and a few signs of a name. */

const SAFETENSORS = ".safetensors";
const LONGEST_STEM = 100;

export function loraName(fileName: string): string {
  return `${cleaned(withoutEnding(fileName)) || "lora"}${SAFETENSORS}`;
}

export function pictureName(fileName: string): string {
  const ending = /\.[A-Za-z0-9]{1,8}$/.exec(fileName)?.[0] ?? "";
  const stem = fileName.slice(0, fileName.length - ending.length);
  return `${cleaned(stem) || "picture"}${ending}`;
}

/** The next name beside one that is taken: ink.safetensors, ink-2.safetensors, ink-3.safetensors. */
export function nameBeside(name: string): string {
  const stem = withoutEnding(name);
  const numbered = /^(.*)-(\d{1,4})$/.exec(stem);
  return numbered === null
    ? `${stem}-2${SAFETENSORS}`
    : `${numbered[1]}-${Number(numbered[2]) + 1}${SAFETENSORS}`;
}

function cleaned(stem: string): string {
  return stem
    .replace(/[^A-Za-z0-9 ._()+-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, LONGEST_STEM);
}

function withoutEnding(name: string): string {
  return name.toLowerCase().endsWith(SAFETENSORS) ? name.slice(0, -SAFETENSORS.length) : name;
}
