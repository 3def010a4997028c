import { sample, wholeJob } from "@tests/examples";
import { describe, expect, test } from "vitest";
import type { Preview, Sample } from "@/api/types";
import { type GalleryJob, galleryOf } from "./gallery-model";
import { drawingOf, placeOfPreview, previewUrl, roundOf } from "./gallery-round";

const preview: Preview = {
  job_id: 1,
  step: 100,
  prompt_index: 0,
  prompt: "zorvex, a hat",
  done: 7,
  total: 20,
};
const training = wholeJob({
  phase: "sample",
  progress: { done: 1, total: 2, message: "" },
  config: {
    job: { trigger_word: "zorvex" },
    sample: { prompts: [{ prompt: "[trigger], a hat" }, { prompt: "[trigger], a bee" }] },
  },
});

function galleryAt(samples: Sample[], shown: Preview | null, job = training) {
  const drawing = drawingOf(placeOfPreview(shown), 1, job);
  const round = roundOf(job, samples, drawing);
  const one: GalleryJob = { id: 1, name: "ink", samples, failures: [], drawing, round };
  return galleryOf([one]).groups.map(({ prompt, lanes }) => ({
    prompt,
    drawn: lanes.flatMap(({ byStep }) => [...byStep.keys()]).sort((a, b) => a - b),
    drawing: lanes.map((lane) => lane.drawing?.step ?? null),
    waiting: lanes.flatMap(({ waiting }) => [...(waiting ?? [])]),
  }));
}

describe("a picture that is being drawn", () => {
  test("stands in the line of its own words, not in that of the prompt that it replaced", () => {
    const rows = galleryAt(
      [
        sample(1, 50, 0, "zorvex, a fox"),
        sample(2, 50, 1, "zorvex, a bee"),
        sample(3, 100, 0, "zorvex, a fox"),
      ],
      preview,
    );
    expect(rows).toEqual([
      { prompt: "zorvex, a fox", drawn: [50, 100], drawing: [null], waiting: [] },
      { prompt: "zorvex, a hat", drawn: [], drawing: [100], waiting: [] },
      { prompt: "zorvex, a bee", drawn: [50], drawing: [null], waiting: [100] },
    ]);
  });

  test("is read in the prompt's resolved words, also from a trainer that does not say them", () => {
    const { prompt: _, ...old } = preview;
    for (const one of [preview, old]) {
      expect(galleryAt([], one).map(({ prompt }) => prompt)).toEqual([
        "zorvex, a hat",
        "zorvex, a bee",
      ]);
    }
  });

  test("finds the line of a prompt that has another place in the list now", () => {
    const rows = galleryAt([sample(1, 50, 3, "zorvex, a hat")], preview);
    expect(rows[0]).toMatchObject({ prompt: "zorvex, a bee", waiting: [100] });
    expect(rows[1]).toMatchObject({ drawn: [50], drawing: [100] });
  });

  test("covers no finished picture of the same words with another seed", () => {
    const rows = galleryAt([sample(1, 100, 3, "zorvex, a hat")], preview);
    const hats = rows.filter(({ prompt }) => prompt === "zorvex, a hat");
    expect(hats.map(({ drawn, drawing }) => [drawn, drawing])).toEqual([
      [[], [100]],
      [[100], [null]],
    ]);
  });
});

describe("what is still to come of a round", () => {
  const first = [sample(1, 50, 0, "zorvex, a hat"), sample(2, 50, 1, "zorvex, a bee")];
  const half = [...first, sample(3, 100, 0, "zorvex, a hat")];
  const waiting = (...of: Parameters<typeof galleryAt>) =>
    galleryAt(...of).map((row) => row.waiting);

  test("waits, between two pictures too", () => {
    expect(waiting(half, { ...preview, prompt_index: 1, prompt: "zorvex, a bee" })).toEqual([
      [],
      [],
    ]);
    expect(waiting(half, null)).toEqual([[], [100]]);
  });

  test("is not told before the round's step is known, nor when there is no round", () => {
    const begun = { ...training, progress: { done: 0, total: 2, message: "" } };
    expect(waiting(half, null, begun)).toEqual([[], []]);
    expect(waiting(half, null, { ...training, phase: "train" })).toEqual([[], []]);
    expect(waiting(half, null, { ...training, status: "stopping" })).toEqual([[], []]);
  });
});

test("each preview has an address of its own, or a browser shows the one it has", () => {
  const others = [{ prompt_index: 1 }, { done: 8 }, { step: 51 }, { step: 50 }];
  const urls = others.map((change) => previewUrl({ ...preview, ...change }));
  expect(new Set(urls).size).toBe(4);
  expect(urls[3]).toMatch(/^\/api\/jobs\/1\/preview\?n=\d+$/);
});
