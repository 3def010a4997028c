import { checkpoint, measurement, metric, sample } from "@tests/examples";
import { describe, expect, test } from "vitest";
import { curveDrawing, curveMarks, lastOf, smoothed } from "./curve-drawing";
import { type KindKey, kinds, offeredKinds } from "./curve-kinds";

const some = (...keys: KindKey[]) => kinds.filter(({ key }) => keys.includes(key));

describe("the smoothed loss", () => {
  const steps = (values: (number | null)[]) =>
    values.map((value, place): [number, number | null] => [place + 1, value]);
  const valuesOf = (points: [number, number | null][], decay: number) =>
    smoothed(points, decay).map(([, value]) => value);

  test("is the weighted mean of all before, with no pull towards the first value", () => {
    // By hand: weights 0.5 and 0.25 of 1 and 3, over their sum.
    expect(valuesOf(steps([3, 1]), 0.5)).toEqual([3, (0.5 * 1 + 0.25 * 3) / 0.75]);
    expect(valuesOf(steps([2, 2, 2]), 0.9).map((value) => value?.toFixed(9))).toEqual(
      new Array(3).fill("2.000000000"),
    );
    expect(valuesOf(steps([1, null, 3]), 0)).toEqual([1, null, 3]);
  });

  test("counts steps, not points: a gap is as long as it is", () => {
    // By hand: three steps of 1 after one of 3. Their weights are 0.5, 0.25, 0.125 and 0.0625.
    const expected = (0.875 * 1 + 0.0625 * 3) / 0.9375;
    expect(
      valuesOf(
        [
          [1, 3],
          [4, 1],
        ],
        0.5,
      ),
    ).toEqual([3, expected]);
    expect(valuesOf(steps([3, 1, 1, 1]), 0.5).at(-1)).toBe(expected);
  });

  test("of a curve that was thinned out is near that of the whole", () => {
    const whole: [number, number][] = Array.from({ length: 100_000 }, (_, place) => [
      place + 1,
      1 - place / 100_000,
    ]);
    const thinned = whole.filter(([step]) => step % 25 === 0);
    const closely = [...thinned.slice(0, 3000), ...whole.slice(75_000)];
    const at = (points: [number, number | null][], wanted: number) =>
      points.find(([step]) => step === wanted)?.[1] ?? Number.NaN;
    for (const decay of [0.95, 0.99]) {
      const [all, few, zoomed] = [whole, thinned, closely].map((one) => smoothed(one, decay));
      for (const step of [75_100, 90_000, 100_000]) {
        // Within what 15 steps change; over points it would lag 25 times as far behind.
        expect(Math.abs(at(few ?? [], step) - at(all ?? [], step))).toBeLessThan(15 / 100_000);
        expect(Math.abs(at(zoomed ?? [], step) - at(all ?? [], step))).toBeLessThan(15 / 100_000);
      }
    }
  });
});

describe("lines over a common row of steps", () => {
  const own = {
    jobId: 1,
    name: "ink",
    metrics: [metric(1, { loss: 4 }), metric(2, { loss: 3 })],
    measurements: [measurement(0, { validation_loss: 9 }), measurement(2, { validation_loss: 8 })],
  };

  test("hold each number at its step and nothing elsewhere", () => {
    const drawing = curveDrawing([own], some("loss", "validation_loss"), 0);
    expect(drawing.steps).toEqual([0, 1, 2]);
    expect(drawing.lines.map(({ label, values }) => [label, values])).toEqual([
      ["Loss", [null, 4, 3]],
      ["Validation", [9, null, 8]],
    ]);
    const [loss] = drawing.lines;
    expect(loss && lastOf(loss, drawing.steps)).toEqual({ step: 2, value: 3 });
  });

  test("are smoothed over the same share of a long curve as of a short one", () => {
    const jump = (length: number, stride: number) => ({
      ...own,
      measurements: [],
      metrics: Array.from({ length: length / stride }, (_, place) => (place + 1) * stride).map(
        (step) => metric(step, { loss: step > length / 2 ? 1 : 0 }),
      ),
    });
    const risen = (length: number, stride: number) => {
      const { steps, lines } = curveDrawing([jump(length, stride)], some("smoothed"), 0.95);
      return lines[0]?.values[steps.indexOf(length * 0.52)];
    };
    const short = risen(1_000, 1) ?? 0;
    expect(short).toBeCloseTo(1 - 0.95 ** 20, 1);
    expect(risen(100_000, 25)).toBeCloseTo(short, 1);
  });

  test("of another job are named after it, and a kind that it lacks is left out", () => {
    const other = { jobId: 2, name: "chalk", metrics: [metric(5, { loss: 1 })], measurements: [] };
    const { steps, lines } = curveDrawing([own, other], some("loss", "validation_loss"), 0);
    expect(steps).toEqual([0, 1, 2, 5]);
    expect(lines.map(({ label, source }) => [label, source])).toEqual([
      ["Loss", 0],
      ["Validation", 0],
      ["Loss, chalk", 1],
    ]);
    expect(lines[2]?.values).toEqual([null, null, null, 1]);
  });
});

describe("what is offered", () => {
  const keysOf = (offered: readonly { key: string }[]) => offered.map(({ key }) => key);

  test("is what has a value; the rest is explained", () => {
    const { offered, missing } = offeredKinds([metric(1)], []);
    expect(keysOf(offered)).toEqual([
      "loss",
      "smoothed",
      "learning_rate",
      "gradient_norm",
      "step_seconds",
    ]);
    expect(missing).toHaveLength(4);
    expect(missing.join()).toMatch(/Validation \(Advanced\) is off/);
    expect(missing.join()).toMatch(/Preservation Probe/);
  });

  test("is everything of a job that measures everything", () => {
    const { offered, missing } = offeredKinds(
      [metric(1, { loss: 1, objective: 3, preservation_loss: 0.1 })],
      [measurement(0, { drift_without_trigger: 0, change_with_trigger: 0 })],
    );
    expect(offered).toHaveLength(kinds.length);
    expect(missing).toEqual([]);
  });
});

test("checkpoints and samples are marked once a step, the best as the best, the result not", () => {
  const saved = [
    checkpoint(10),
    checkpoint(20, { is_best: true }),
    checkpoint(20, { id: 99, is_final: true }),
  ];
  const drawn = [sample(1, 0, 0, "a"), sample(2, 0, 1, "b"), sample(3, 20, 0, "a")];
  expect(curveMarks(saved, drawn)).toEqual([
    { step: 0, kind: "sample" },
    { step: 20, kind: "sample" },
    { step: 10, kind: "checkpoint" },
    { step: 20, kind: "best" },
  ]);
});
