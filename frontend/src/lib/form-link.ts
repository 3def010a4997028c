/**
 * What a form begins with besides the job it copies or edits, as a part of its address: so that it
 * survives a reload and a new tab. A picture's prompt, or a LoRA to start from.
 */

import type { Checkpoint, Job, JobConfigValue, Sample } from "@/api/types";

const NUMBERS = ["seed", "width", "height", "guidance_scale", "lora_strength"] as const;
const PROMPT = "prompt";
const REFERENCE = "reference";
const LORA = "lora";
const NAMES: string[] = [PROMPT, ...NUMBERS, REFERENCE, LORA];

/** The form at `address` with the picture's prompt among its own. */
export function withPrompt(address: string, sample: Sample): string {
  return extended(address, [
    [PROMPT, sample.prompt],
    ...NUMBERS.map((name) => [name, String(sample[name] ?? 1)] as [string, string]),
    ...sample.control_images.map((name) => [REFERENCE, name] as [string, string]),
  ]);
}

/** The form at `address` with a LoRA file to start from, by its full path. */
export function withLora(address: string, path: string): string {
  return extended(address, [[LORA, path]]);
}

/** Where a checkpoint's LoRA lies on the server: what Start from a LoRA takes. */
export function loraPath(output: string, job: Job, checkpoint: Checkpoint): string {
  const file = checkpoint.is_final
    ? `${job.training_name}.safetensors`
    : `checkpoints/step-${String(checkpoint.step).padStart(6, "0")}/lora.safetensors`;
  return `${output}/${job.folder}/${file}`;
}

function extended(address: string, entries: [string, string][]): string {
  return `${address}${address.includes("?") ? "&" : "?"}${new URLSearchParams(entries)}`;
}

/** What an address gives a form, in one form for the same gift; empty where it gives nothing. */
export function giftOf(search: URLSearchParams): string {
  return String(new URLSearchParams([...search].filter(([name]) => NAMES.includes(name))));
}

/** The config with what the address gives. */
export function withGift(search: URLSearchParams, config: JobConfigValue): JobConfigValue {
  const prompt = search.get(PROMPT);
  const lora = search.get(LORA);
  let given = config;
  if (prompt !== null) {
    const numbers = NUMBERS.flatMap((name) => {
      const value = search.get(name);
      return value !== null && Number.isFinite(Number(value)) ? [[name, Number(value)]] : [];
    });
    const own = Object.fromEntries(numbers);
    given = withEntry(given, { prompt, ...own, control_images: search.getAll(REFERENCE) });
  }
  if (lora !== null) {
    const training = (given.training ?? {}) as Record<string, unknown>;
    given = { ...given, training: { ...training, start_from_lora: lora } };
  }
  return given;
}

/** A picture's prompt as the page Try it takes it from its address; null if there is none. */
export function promptGiven(search: URLSearchParams) {
  const prompt = search.get(PROMPT);
  const number = (name: (typeof NUMBERS)[number]) => {
    const value = search.get(name);
    return value === null || !Number.isFinite(Number(value)) ? null : Number(value);
  };
  return prompt === null
    ? null
    : {
        prompts: [prompt],
        references: search.getAll(REFERENCE),
        seed: number("seed"),
        width: number("width"),
        height: number("height"),
        guidance: number("guidance_scale"),
        strengths: [number("lora_strength") || 1],
      };
}

/** The prompts of a job with a picture's at their end. */
export function promptsWith(config: JobConfigValue, sample: Sample): unknown[] {
  const own = Object.fromEntries(NUMBERS.map((name) => [name, sample[name] ?? 1]));
  const entry = { prompt: sample.prompt, ...own, control_images: sample.control_images };
  return (withEntry(config, entry).sample as { prompts: unknown[] }).prompts;
}

function withEntry(config: JobConfigValue, entry: Record<string, unknown>): JobConfigValue {
  const panel = (config.sample ?? {}) as Record<string, unknown>;
  const prompts = Array.isArray(panel.prompts) ? panel.prompts : [];
  return { ...config, sample: { ...panel, prompts: [...prompts, entry] } };
}
