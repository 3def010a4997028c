/**
 * What the page Try it holds before it is drawn: a few lists, whose product is the drawing.
 *
 * Every prompt is drawn with every seed, by the base model and with every LoRA at every strength.
 * The server's config names each picture by itself; `configOf` writes them out, row by row of the
 * grid, so that what is compared comes close together. A number that was not typed well stays as it
 * was typed and goes to the server like that, whose message then names it.
 */

import type { Architecture, Job, JobConfigValue, Lora, WholeDrawing } from "@/api/types";

export type Typed = number | string | null;

export interface ChosenLora {
  /** What the config names: a path, or hub:owner/name/file.safetensors. */
  file: string;
  label: string;
  /** The models that it is for; empty where nobody has looked into it yet. */
  fits: Architecture[];
  sizeBytes: number | null;
  /** The job that made it, and after which step. */
  jobId: number | null;
  step: number | null;
}

export interface Draft {
  loras: ChosenLora[];
  withBase: boolean;
  strengths: number[];
  prompts: string[];
  /** Pictures that every prompt is shown, by their names within the datasets folder. */
  references: string[];
  seed: Typed;
  /** The seed and those after it. */
  numSeeds: number;
  /** Null is the model's own. */
  width: Typed;
  height: Typed;
  guidance: Typed;
  sampleSteps: Typed;
  negativePrompt: string;
  triggerWord: string;
  /** Before the trainings that wait. */
  isFirst: boolean;
  gpu: string;
  dataType: string;
  /** As the panels Model and Quantization of a job. */
  model: Record<string, unknown>;
  quantization: Record<string, unknown>;
}

export const HUB = "hub:";
export const QUICK_STRENGTHS = [0, 0.5, 0.75, 1, 1.25];
export const LOWEST_STRENGTH = -4;
export const HIGHEST_STRENGTH = 4;
export const MOST_SEEDS = 16;
/** Of a job's prompts, as many as one looks at to begin with. */
const PROMPTS_OF_A_JOB = 2;

export const EMPTY_DRAFT: Draft = {
  loras: [],
  withBase: true,
  strengths: [1],
  prompts: [""],
  references: [],
  seed: 42,
  numSeeds: 1,
  width: null,
  height: null,
  guidance: null,
  sampleSteps: null,
  negativePrompt: "",
  triggerWord: "",
  isFirst: true,
  gpu: "any",
  dataType: "bf16",
  model: { layer_offloading: "auto" },
  quantization: {},
};

export function chosenLora(entry: Lora): ChosenLora {
  const { file, label, fits, size_bytes, job_id, step } = entry;
  return { file, label, fits, sizeBytes: size_bytes, jobId: job_id, step };
}

export function hubLora(id: string): ChosenLora {
  const file = id.startsWith(HUB) ? id : `${HUB}${id}`;
  return {
    file,
    label: file.slice(HUB.length),
    fits: [],
    sizeBytes: null,
    jobId: null,
    step: null,
  };
}

export function architectureOf(draft: Draft): string | null {
  const { model_architecture } = draft.model;
  return typeof model_architecture === "string" ? model_architecture : null;
}

/** Whether a LoRA is known to be another model's. */
export function isOfAnotherBase(draft: Draft, lora: ChosenLora): boolean {
  const architecture = architectureOf(draft);
  return (
    architecture !== null &&
    lora.fits.length > 0 &&
    !lora.fits.includes(architecture as Architecture)
  );
}

/** The first LoRA brings its model with it; the others are added to what is there. */
export function withLora(draft: Draft, lora: ChosenLora): Draft {
  if (draft.loras.some(({ file }) => file === lora.file)) {
    return draft;
  }
  const added = { ...draft, loras: withInPlace(draft.loras, lora) };
  const [architecture] = lora.fits;
  return draft.loras.length > 0 || architecture === undefined || !isOfAnotherModel(draft, lora)
    ? added
    : withArchitecture(added, architecture);
}

/** At the end, but among those of its own job where its step belongs. */
function withInPlace(loras: ChosenLora[], lora: ChosenLora): ChosenLora[] {
  const { jobId, step } = lora;
  const later = loras.findIndex(
    (one) => jobId !== null && one.jobId === jobId && (one.step ?? 0) > (step ?? 0),
  );
  const place = later < 0 ? loras.length : later;
  return [...loras.slice(0, place), lora, ...loras.slice(place)];
}

function isOfAnotherModel(draft: Draft, lora: ChosenLora): boolean {
  return architectureOf(draft) === null || isOfAnotherBase(draft, lora);
}

/** Another model: what was set for the one before would be wrong for it. */
export function withArchitecture(draft: Draft, architecture: string): Draft {
  return {
    ...draft,
    model: { model_architecture: architecture, layer_offloading: "auto" },
    guidance: null,
    sampleSteps: null,
    width: null,
    height: null,
  };
}

/** The model and the pictures as the job that made the LoRA has them; its prompts if `prompts`. */
export function asInJob(draft: Draft, job: Job, { prompts }: { prompts: boolean }): Draft {
  const of = (panel: string) => (job.config[panel] ?? {}) as Record<string, unknown>;
  const sample = of("sample");
  const own = Array.isArray(sample.prompts) ? (sample.prompts as JobPrompt[]) : [];
  const first = own[0];
  const references = first?.control_images ?? [];
  const alike = own.filter(
    ({ control_images }) => String(control_images ?? []) === String(references),
  );
  const shown = alike.slice(0, PROMPTS_OF_A_JOB).map(({ prompt }) => prompt);
  return {
    ...draft,
    model: of("model"),
    quantization: of("quantization"),
    dataType: textOf(of("training").data_type) || draft.dataType,
    // Not the card of a training: that may be busy while another is free.
    gpu: of("job").gpu === "cpu" ? "cpu" : EMPTY_DRAFT.gpu,
    triggerWord: textOf(of("job").trigger_word),
    negativePrompt: textOf(sample.negative_prompt),
    width: typedOf(first?.width ?? sample.width),
    height: typedOf(first?.height ?? sample.height),
    guidance: typedOf(first?.guidance_scale ?? sample.guidance_scale),
    sampleSteps: typedOf(sample.sample_steps),
    ...(prompts && {
      prompts: shown.length > 0 ? shown : [""],
      references,
      seed: typedOf(first?.seed ?? sample.seed) ?? EMPTY_DRAFT.seed,
    }),
  };
}

interface JobPrompt {
  prompt: string;
  width?: number | null;
  height?: number | null;
  seed?: number | null;
  guidance_scale?: number | null;
  control_images?: string[];
}

/** What the server is asked to draw. */
export function configOf(draft: Draft): JobConfigValue {
  const { loras, strengths, width, height, guidance, references } = draft;
  const like = {
    width,
    height,
    guidance_scale: guidance,
    control_images: references,
  };
  const variants = [
    ...(draft.withBase ? [{}] : []),
    ...loras.flatMap((_, lora) => strengths.map((lora_strength) => ({ lora, lora_strength }))),
  ];
  return {
    gpu: draft.gpu,
    model: draft.model,
    quantization: draft.quantization,
    data_type: draft.dataType,
    trigger_word: draft.triggerWord,
    sample_steps: draft.sampleSteps,
    negative_prompt: draft.negativePrompt,
    loras: loras.map(({ file }) => file),
    pictures: written(draft.prompts).flatMap((prompt) =>
      seedsOf(draft).flatMap((seed) => variants.map((own) => ({ prompt, seed, ...like, ...own }))),
    ),
  };
}

export function numPictures(draft: Draft): number {
  const variants = Number(draft.withBase) + draft.loras.length * draft.strengths.length;
  return written(draft.prompts).length * draft.numSeeds * variants;
}

export function written(prompts: string[]): string[] {
  return prompts.filter((prompt) => prompt.trim() !== "");
}

function seedsOf({ seed, numSeeds }: Draft): Typed[] {
  return typeof seed === "number"
    ? Array.from({ length: numSeeds }, (_, index) => seed + index)
    : [seed];
}

/** The draft that a drawing was made from, or one very like it where another program made it. */
export function draftOf({ config, loras, priority }: WholeDrawing, known: Draft): Draft {
  const pictures = (Array.isArray(config.pictures) ? config.pictures : []) as DrawnConfig[];
  const first = pictures[0];
  const seeds = unique(pictures.map(({ seed }) => seed ?? null));
  const lowest = Math.min(...seeds.map(Number));
  const areInRow = seeds.every((seed) => typeof seed === "number" && seed - lowest < seeds.length);
  const strengths = unique(
    pictures.flatMap(({ lora, lora_strength }) =>
      typeof lora === "number" ? [lora_strength ?? 1] : [],
    ),
  );
  const chosen = new Map(known.loras.map((lora) => [lora.file, lora]));
  return {
    loras: loras.map(
      ({ file, label }) =>
        chosen.get(file) ?? { file, label, fits: [], sizeBytes: null, jobId: null, step: null },
    ),
    withBase: pictures.some(({ lora }) => typeof lora !== "number"),
    strengths: strengths.length > 0 ? strengths : [1],
    prompts: unique(pictures.map(({ prompt }) => prompt)),
    references: first?.control_images ?? [],
    seed: areInRow ? lowest : (first?.seed ?? null),
    numSeeds: areInRow ? Math.min(seeds.length, MOST_SEEDS) : 1,
    width: typedOf(first?.width),
    height: typedOf(first?.height),
    guidance: typedOf(first?.guidance_scale),
    sampleSteps: typedOf(config.sample_steps),
    negativePrompt: textOf(config.negative_prompt),
    triggerWord: textOf(config.trigger_word),
    isFirst: priority > 0,
    gpu: textOf(config.gpu) || EMPTY_DRAFT.gpu,
    dataType: textOf(config.data_type) || EMPTY_DRAFT.dataType,
    model: (config.model ?? {}) as Record<string, unknown>,
    quantization: (config.quantization ?? {}) as Record<string, unknown>,
  };
}

interface DrawnConfig extends JobPrompt {
  lora?: number | null;
  lora_strength?: number;
}

function unique<Value>(values: Value[]): Value[] {
  return [...new Set(values)];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function typedOf(value: unknown): Typed {
  return typeof value === "number" ? value : null;
}
