import { lora, wholeJob } from "@tests/examples";
import { describe, expect, test } from "vitest";
import type { WholeDrawing } from "@/api/types";
import {
  architectureOf,
  asInJob,
  chosenLora,
  configOf,
  type Draft,
  draftOf,
  EMPTY_DRAFT,
  hubLora,
  isOfAnotherBase,
  numPictures,
  withLora,
} from "./draft";

const ink = chosenLora(lora());
const chalk = chosenLora(
  lora({ file: "/o/chalk.safetensors", label: "chalk", job_id: 2, fits: ["klein-4b"] }),
);
const filled: Draft = {
  ...withLora(EMPTY_DRAFT, ink),
  prompts: ["a fox", " ", "a hat"],
  strengths: [0.5, 1],
  numSeeds: 2,
};

test("every prompt is drawn with every seed, beside the base and at every strength", () => {
  const config = configOf(filled);
  const pictures = config.pictures as Record<string, unknown>[];
  expect(numPictures(filled)).toBe(12);
  expect(pictures).toHaveLength(12);
  expect(pictures.slice(0, 4)).toEqual([
    expect.objectContaining({ prompt: "a fox", seed: 42 }),
    expect.objectContaining({ prompt: "a fox", seed: 42, lora: 0, lora_strength: 0.5 }),
    expect.objectContaining({ prompt: "a fox", seed: 42, lora: 0, lora_strength: 1 }),
    expect.objectContaining({ prompt: "a fox", seed: 43 }),
  ]);
  expect(pictures[0]).not.toHaveProperty("lora");
  expect(config.loras).toEqual([ink.file]);
});

test("what was not typed well goes to the server as it was typed", () => {
  const pictures = configOf({ ...filled, seed: "4z" }).pictures as Record<string, unknown>[];
  expect(new Set(pictures.map(({ seed }) => seed))).toEqual(new Set(["4z"]));
});

test("checkpoints of one training stand in the order of their steps", () => {
  const step = (number: number) => chosenLora(lora({ file: `/o/ink/${number}`, step: number }));
  const draft = [step(300), chalk, step(100), step(200)].reduce(withLora, EMPTY_DRAFT);
  expect(draft.loras.map((one) => one.step)).toEqual([100, 200, 300, chalk.step]);
});

describe("the model", () => {
  test("comes with the first LoRA and stays when others are added", () => {
    expect(architectureOf(withLora(EMPTY_DRAFT, ink))).toBe("tiny");
    const both = withLora(withLora(EMPTY_DRAFT, ink), chalk);
    expect(architectureOf(both)).toBe("tiny");
    expect(both.loras.map((one) => isOfAnotherBase(both, one))).toEqual([false, true]);
  });

  test("another one takes what was set for the one before with it", () => {
    const set: Draft = { ...withLora(EMPTY_DRAFT, ink), loras: [], guidance: 3, sampleSteps: 20 };
    expect(withLora(set, chalk)).toMatchObject({ guidance: null, sampleSteps: null });
    expect(withLora(set, ink)).toMatchObject({ guidance: 3, sampleSteps: 20 });
  });

  test("of a file on the hub nobody knows yet", () => {
    const draft = withLora(EMPTY_DRAFT, hubLora("someone/ink/ink.safetensors"));
    expect(draft.loras[0]?.file).toBe("hub:someone/ink/ink.safetensors");
    expect(architectureOf(draft)).toBeNull();
  });
});

test("a job gives its model, its sizes and the first of its prompts with their references", () => {
  const job = wholeJob({
    config: {
      job: { trigger_word: "zorvex", gpu: "cpu" },
      model: { model_architecture: "tiny", low_vram: true },
      quantization: { transformer: "none" },
      training: { data_type: "fp32" },
      sample: {
        width: 128,
        sample_steps: 8,
        prompts: [
          { prompt: "[trigger] a fox", control_images: ["edits/1.png"], height: 64 },
          { prompt: "another sight" },
          { prompt: "[trigger] a hat", control_images: ["edits/1.png"] },
        ],
      },
    },
  });
  const draft = asInJob(EMPTY_DRAFT, job, { prompts: true });
  expect(draft).toMatchObject({
    prompts: ["[trigger] a fox", "[trigger] a hat"],
    references: ["edits/1.png"],
    width: 128,
    height: 64,
    sampleSteps: 8,
    triggerWord: "zorvex",
    dataType: "fp32",
    gpu: "cpu",
    model: { model_architecture: "tiny", low_vram: true },
    quantization: { transformer: "none" },
  });
  expect(asInJob(filled, job, { prompts: false }).prompts).toEqual(filled.prompts);
});

test("a drawing takes any free card whichever its LoRA's training has, but stays on the processor", () => {
  const asOn = (gpu: string) => asInJob(EMPTY_DRAFT, wholeJob({ config: { job: { gpu } } }), like);
  const like = { prompts: true };
  expect(asOn("GPU-8f3a2b10-1c2d-4e5f-8091-a2b3c4d5e6f7").gpu).toBe("any");
  expect(asOn("any").gpu).toBe("any");
  expect(asOn("cpu").gpu).toBe("cpu");
});

test("a drawing can be made again from its config", () => {
  const config = configOf({ ...filled, prompts: ["a fox", "a hat"] });
  const drawing = {
    config,
    loras: [{ file: ink.file, label: ink.label }],
    priority: 1,
  } as unknown as WholeDrawing;
  const again = draftOf(drawing, filled);
  expect(configOf(again)).toEqual(config);
  expect(again.loras).toEqual([ink]);
  expect(again.numSeeds).toBe(2);
});
