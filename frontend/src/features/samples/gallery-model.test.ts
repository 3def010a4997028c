import { run, sample, wholeJob } from "@tests/examples";
import { describe, expect, test } from "vitest";
import type { Run } from "@/api/types";
import { filtered, NO_FILTER } from "./gallery-filter";
import { failuresOf, type GalleryJob, galleryOf, idSpans } from "./gallery-model";
import { cellWidth, lanesInSight, placeLanes } from "./grid-window";
import { laneTitle } from "./titles";

const job = (samples: GalleryJob["samples"], more: Partial<GalleryJob> = {}): GalleryJob => ({
  id: 1,
  name: "ink",
  samples,
  failures: [],
  ...more,
});

describe("a gallery", () => {
  test("keeps the row of a prompt whose place was given to another", () => {
    const { groups } = galleryOf([
      job([
        sample(1, 0, 0, "a fox"),
        sample(2, 50, 0, "a fox"),
        sample(3, 0, 0, "a hat"),
        sample(4, 100, 0, "a hat"),
      ]),
    ]);
    expect(groups.map(({ prompt, number }) => [number, prompt])).toEqual([
      [1, "a fox"],
      [2, "a hat"],
    ]);
    expect([...(groups[0]?.lanes[0]?.byStep.keys() ?? [])].sort()).toEqual([0, 50]);
  });

  test("parts pictures of the same words with another seed, size or guidance", () => {
    const one = sample(1, 0, 0, "a fox");
    const others = [{ seed: 7 }, { width: 256 }, { guidance_scale: 4 }, { lora_strength: 0.5 }];
    const { groups } = galleryOf([
      job([one, ...others.map((change, index) => ({ ...one, id: index + 2, ...change }))]),
    ]);
    expect(groups).toHaveLength(5);
    const older = { ...one, id: 9, step: 50, lora_strength: null };
    expect(galleryOf([job([one, older])]).groups).toHaveLength(1);
  });

  test("shows a step that was drawn anew once, the newest", () => {
    const { groups } = galleryOf([job([sample(1, 50, 0, "a fox"), sample(2, 50, 0, "a fox")])]);
    expect(groups[0]?.lanes[0]?.byStep.get(50)?.id).toBe(2);
  });

  test("gives a branch that was set aside a lane of its own, with the base's picture", () => {
    const { groups } = galleryOf([
      job([
        sample(1, 0, 0, "a fox"),
        { ...sample(2, 100, 0, "a fox"), superseded_by: 2 },
        sample(3, 100, 0, "a fox"),
      ]),
    ]);
    const lanes = groups[0]?.lanes ?? [];
    expect(lanes.map((lane) => lane.supersededBy)).toEqual([null, 2]);
    expect(lanes[1]?.byStep.get(0)?.id).toBe(1);
    expect(lanes[1]?.byStep.get(100)?.id).toBe(2);
  });

  test("puts a base picture that was set aside with its prompt back at its row", () => {
    const { groups } = galleryOf([
      job([{ ...sample(1, 0, 0, "a fox"), superseded_by: 1 }, sample(2, 50, 0, "a fox")]),
    ]);
    expect(groups[0]?.lanes).toHaveLength(1);
    expect(groups[0]?.lanes[0]?.byStep.get(0)?.id).toBe(1);
  });

  test("lays jobs with the same recipe side by side", () => {
    const { groups, steps } = galleryOf([
      job([sample(1, 50, 0, "a fox")]),
      job([sample(9, 75, 3, "a fox"), sample(10, 75, 0, "a hat")], { id: 2, name: "chalk" }),
    ]);
    expect(groups[0]?.lanes.map((lane) => lane.jobName)).toEqual(["ink", "chalk"]);
    expect(groups[1]?.lanes.map((lane) => lane.jobName)).toEqual(["chalk"]);
    expect(steps).toEqual([50, 75]);
  });

  test("lets jobs meet on words and seed, and a lane say what else was otherwise", () => {
    const otherwise = { width: 256, lora_strength: 0.5 };
    const { groups } = galleryOf([
      job([sample(1, 50, 0, "a fox")]),
      job(
        [
          { ...sample(9, 50, 0, "a fox"), ...otherwise },
          { ...sample(10, 75, 0, "a fox"), ...otherwise },
          { ...sample(11, 50, 1, "a fox"), seed: 7 },
        ],
        { id: 2, name: "chalk" },
      ),
    ]);
    expect(groups.map(({ lanes }) => lanes.map((lane) => laneTitle(lane, true)))).toEqual([
      ["ink", "chalk, size 256 × 128, strength 0.5"],
      ["chalk"],
    ]);
    expect([...(groups[0]?.lanes[1]?.byStep.keys() ?? [])].sort()).toEqual([50, 75]);
    const heights = placeLanes(groups, 100).map(({ cellHeight }) => cellHeight);
    expect(heights).toEqual([100, 50, 100]);
  });

  test("parts the two sizes of one job, and gives another job's third to the first of them", () => {
    const of = (id: number, width: number) => ({ ...sample(id, 50, 0, "a fox"), width });
    const { groups } = galleryOf([
      job([of(1, 128), of(2, 256)]),
      job([of(9, 64)], { id: 2, name: "chalk" }),
    ]);
    const names = groups.map(({ lanes }) => lanes.map((lane) => lane.jobName));
    expect(names).toEqual([["ink", "chalk"], ["ink"]]);
  });

  test("shows what failed at its step until it is drawn, and in a row of its own if need be", () => {
    const failure = { step: 50, promptIndex: 0, prompt: "a fox", message: "No memory." };
    const drawn = [sample(1, 0, 0, "a fox"), sample(2, 50, 0, "a fox")];
    const failed = galleryOf([job(drawn.slice(0, 1), { failures: [failure] })]);
    expect(failed.groups[0]?.lanes[0]?.failures.get(50)).toEqual(failure);
    const later = galleryOf([job(drawn, { failures: [failure] })]);
    expect(later.groups[0]?.lanes[0]?.failures.size).toBe(0);
    const alone = galleryOf([job([], { failures: [failure] })]);
    expect(alone.groups.map(({ prompt, like }) => [prompt, like])).toEqual([["a fox", null]]);
  });

  test("reads failures from the records of runs and nothing else", () => {
    const problem = (code: string, field: string, hint = "") => ({
      code,
      field,
      message: "No memory.",
      hint,
      params: { step: 50, prompt: "a fox" },
      severity: "warning" as const,
    });
    const runs = [
      run(1, {
        problems: [problem("sample_failed", "sample.prompts.2"), problem("slow_steps", "x")],
      }),
      run(2, {
        first_step: 50,
        problems: [problem("out_of_memory", "sample.prompts.1", "Draw smaller samples.")],
      }),
    ];
    expect(failuresOf(wholeJob({ runs }))).toEqual([
      { step: 50, promptIndex: 2, prompt: "a fox", message: "No memory." },
      { step: 50, promptIndex: 1, prompt: "a fox", message: "No memory. Draw smaller samples." },
    ]);
  });
});

describe("a failure after a resume", () => {
  const failed = (...steps: number[]) => ({
    problems: steps.map((step) => ({
      code: "sample_failed",
      field: "sample.prompts.0",
      message: "No memory.",
      hint: "",
      params: { step, prompt: "a fox" },
      severity: "warning" as const,
    })),
  });
  const stepsOf = (...runs: Run[]) => failuresOf(wholeJob({ runs })).map(({ step }) => step);

  test("is left behind with its branch; at the step that the run began from it stands", () => {
    const first = run(1, failed(50, 100, 150));
    expect(stepsOf(first, run(2, { first_step: 100, ...failed(200) }))).toEqual([50, 100, 200]);
    const third = run(3, { first_step: 250, ...failed(300) });
    expect(stepsOf(first, run(2, { first_step: 50, ...failed(200) }), third)).toEqual([
      50, 200, 300,
    ]);
    expect(stepsOf(first, run(2, { first_step: 0 }))).toEqual([]);
  });

  test("stays while no run has begun anew, as one that was refused", () => {
    expect(stepsOf(run(1, failed(150)), run(2, { first_step: null }))).toEqual([150]);
  });

  test("is not said of the branch that counts", () => {
    const runs = [run(1, failed(150)), run(2, { first_step: 100 })];
    const failures = failuresOf(wholeJob({ runs }));
    const drawn = [sample(1, 100, 0, "a fox"), { ...sample(2, 125, 0, "a fox"), superseded_by: 2 }];
    const { groups, steps } = galleryOf([job(drawn, { failures })]);
    expect(groups[0]?.lanes.map((lane) => lane.failures.size)).toEqual([0, 0]);
    expect(steps).toEqual([100, 125]);
  });
});

describe("a filter", () => {
  const whole = galleryOf([
    job([0, 50, 100, 150].flatMap((s) => [sample(s + 1, s, 0, "A Fox"), sample(s + 2, s, 1, "b")])),
  ]);

  test("finds prompts by their words, and steps in a range beside the base's", () => {
    const seen = filtered(whole, { ...NO_FILTER, words: "fox a", fromStep: 60, toStep: 100 });
    expect(seen.groups.map(({ number, prompt }) => [number, prompt])).toEqual([[1, "A Fox"]]);
    expect(seen.steps).toEqual([0, 100]);
  });

  test("turns the steps round and leaves the base's where it is", () => {
    expect(filtered(whole, { ...NO_FILTER, newestFirst: true }).steps).toEqual([0, 150, 100, 50]);
  });
});

describe("what is starred or noted", () => {
  const fox = (step: number) => sample(step + 1, step, 0, "a fox");
  const hat = (step: number) => sample(step + 2, step, 1, "a hat");
  const whole = galleryOf([
    job(
      [
        fox(0),
        { ...fox(50), is_starred: true },
        { ...fox(100), note: "Best hands" },
        hat(0),
        hat(50),
        { ...hat(100), superseded_by: 2 },
      ],
      { failures: [{ step: 150, promptIndex: 0, prompt: "a fox", message: "No memory." }] },
    ),
  ]);
  const seen = (change: Partial<typeof NO_FILTER>) =>
    filtered(whole, { ...NO_FILTER, ...change }).groups.flatMap(({ prompt, lanes }) =>
      lanes.map(({ byStep }) => [prompt, ...[...byStep.keys()].sort((a, b) => a - b)]),
    );

  test("stands beside the base model's picture, and no prompt without a star does", () => {
    expect(seen({ starred: true })).toEqual([["a fox", 0, 50]]);
    expect(filtered(whole, { ...NO_FILTER, starred: true }).steps).toEqual([0, 50]);
  });

  test("is found by the words of its note, with those of its prompt or without", () => {
    expect(seen({ words: "hands" })).toEqual([["a fox", 0, 100]]);
    expect(seen({ words: "fox best" })).toEqual([["a fox", 0, 100]]);
    expect(seen({ words: "hat best" })).toEqual([]);
    expect(seen({ words: "fox" })).toEqual([["a fox", 0, 50, 100]]);
    expect(seen({ words: "hands", starred: true })).toEqual([]);
  });
});

test("a range of steps leaves out what is being drawn beyond it", () => {
  const drawing = { jobId: 1, step: 100, promptIndex: 0, prompt: "a fox" };
  const round = { step: 100, prompts: ["a fox", "a hat"] };
  const whole = galleryOf([job([sample(1, 50, 0, "a fox")], { drawing, round })]);
  expect(whole.steps).toEqual([50, 100]);
  expect(filtered(whole, { ...NO_FILTER, toStep: 50 }).steps).toEqual([50]);
});

test("the window holds a part of a large grid, wherever it is", () => {
  const samples = Array.from({ length: 50 }, (_, row) => sample(row + 1, 0, row, `prompt ${row}`));
  const lanes = placeLanes(galleryOf([job(samples)]).groups, 180);
  const last = lanes[lanes.length - 1];
  const total = (last?.top ?? 0) + (last?.height ?? 0);
  for (const top of [0, total / 2, total - 800]) {
    for (const [around, most] of [
      [0, 5],
      [320, 10],
    ] as const) {
      const [first, end] = lanesInSight(lanes, { top, left: 0, width: 1200, height: 800, around });
      expect(end - first).toBeLessThanOrEqual(most);
      const seen = lanes.slice(first, end);
      expect(seen[0]?.top ?? 0).toBeLessThanOrEqual(top);
      expect((seen.at(-1)?.top ?? 0) + (seen.at(-1)?.height ?? 0)).toBeGreaterThanOrEqual(
        Math.min(top + 800, total),
      );
    }
  }
});

test("whole cells fill the width, and few are not blown up", () => {
  expect(cellWidth(1200, 40, "medium")).toBe((1200 - 5 * 10) / 6);
  expect(cellWidth(1200, 2, "medium")).toBe((1200 - 3 * 10) / 4);
  expect(cellWidth(340, 9, "large")).toBe(165);
});

test("numbers of pictures are told in spans", () => {
  expect(idSpans([7, 3, 9, 8, 3])).toBe("3,7-9");
});
