import drawn from "@tests/drawn-distances.json";
import { checkpoint, measurement } from "@tests/examples";
import { expect, test } from "vitest";
import { distanceAdvice } from "./distance-advice";

type Findings = Parameters<typeof distanceAdvice>[0];
type Distance = Pick<Findings["samples"][number], "with_trigger" | "distance_from_base">;

/** What pictures measure that tests/backend/artifacts/test_base_distance.py draws. */
const { hardly_changes, changes_with_the_trigger, changes_everywhere_alike } = drawn;
const samplesOf = (distances: Distance[], step = 500): Findings["samples"] =>
  distances.map((each, prompt_index) => ({ step, prompt_index, sample: 0, base: 0, ...each }));
const said = (samples: Findings["samples"], other: Partial<Findings> = {}) =>
  distanceAdvice({ measurements: [], checkpoints: [], totalSteps: 1500, ...other, samples });
const keys = (...given: Parameters<typeof said>) => said(...given).map(({ key }) => key);
const probe = (step: number, drift: number | null) =>
  measurement(step, { change_with_trigger: 0.2, drift_without_trigger: drift });

test("samples that hardly move are told with how far, and with the delta norm", () => {
  const [advice, ...others] = said(samplesOf(hardly_changes), {
    checkpoints: [500, 250, 750].map((step) => checkpoint(step, { lora_norm: step / 1000 })),
  });
  expect(others).toEqual([]);
  expect(advice?.key).toBe("changesNothing");
  expect(advice?.message).toContain("At step 500, no sample with the trigger");
  expect(advice?.message).toContain("0.5 %");
  expect(advice?.message).toContain("delta norm is 0.5 at step 500");
  expect(advice?.cure).toContain("Learning Rate");
  expect(said(samplesOf(hardly_changes))[0]?.message).not.toContain("delta norm");
});

test("a LoRA that changes what has the trigger, and nothing else, is left alone", () => {
  expect(keys(samplesOf(changes_with_the_trigger))).toEqual([]);
});

test("samples that move as far without the trigger are told with both distances", () => {
  const advice = said(samplesOf(changes_everywhere_alike));
  expect(advice.map(({ key }) => key)).toEqual(["overwritesBase"]);
  expect(advice[0]?.message).toContain("without the trigger differ");
  expect(advice[0]?.message).toMatch(/12 %.*12 %/);
  expect(advice[0]?.cure).toContain("Differential Output Preservation");
});

test("the measurements of the tiny model's trainings are told apart", () => {
  const pair = (called: number, other: number) =>
    samplesOf([
      { with_trigger: true, distance_from_base: called },
      { with_trigger: false, distance_from_base: other },
    ]);
  expect(keys(pair(0.077, 0.079)), "the least that overwrote").toEqual(["overwritesBase"]);
  expect(keys(pair(0.104, 0.027)), "the most that preservation let pass").toEqual([]);
  expect(keys(pair(0.075, 0.012)), "the least that was learnt").toEqual([]);
  expect(keys(pair(0.024, 0.024)), "too little for either").toEqual([]);
});

test("nothing is said before a quarter of the steps, and 200 of them", () => {
  for (const set of [hardly_changes, changes_everywhere_alike]) {
    expect(keys(samplesOf(set, 250))).toEqual([]);
    expect(keys(samplesOf(set, 375))).toHaveLength(1);
    expect(keys(samplesOf(set, 199), { totalSteps: 300 })).toEqual([]);
    expect(keys(samplesOf(set, 200), { totalSteps: null })).toHaveLength(1);
  }
});

test("one sample with the trigger that moves is a change", () => {
  const moved = [...hardly_changes, { with_trigger: true, distance_from_base: 0.1 }];
  expect(keys(samplesOf(moved))).toEqual([]);
});

test("where the probe has measured, it has the last word", () => {
  const nothing = samplesOf(hardly_changes);
  const everything = samplesOf(changes_everywhere_alike);
  expect(keys(nothing, { measurements: [probe(500, 0.01)] })).toEqual([]);
  expect(keys(everything, { measurements: [probe(500, 0.01)] })).toEqual([]);
  expect(keys(nothing, { measurements: [probe(0, 0)] }), "before any step").toHaveLength(1);
  expect(keys(everything, { measurements: [probe(500, null)] }), "of this, not").toHaveLength(1);
  expect(keys(nothing, { measurements: [measurement(500)] }), "validation alone").toHaveLength(1);
});

test("what was not drawn is not judged", () => {
  expect(keys([])).toEqual([]);
  const only = (set: Distance[], with_trigger: boolean) =>
    samplesOf(set.filter((each) => each.with_trigger === with_trigger));
  expect(keys(only(changes_everywhere_alike, true)), "no prompt without the trigger").toEqual([]);
  expect(keys(only(changes_everywhere_alike, false)), "none with it").toEqual([]);
  expect(keys(only(hardly_changes, false)), "none that is to change").toEqual([]);
});

test("without a trigger word every sample is to change", () => {
  const unnamed = (set: Distance[]) =>
    samplesOf(set.map((each) => ({ ...each, with_trigger: null })));
  const [advice] = said(unnamed(hardly_changes));
  expect(advice?.message).toContain("no sample differs");
  expect(keys(unnamed(changes_everywhere_alike)), "and may").toEqual([]);
});
