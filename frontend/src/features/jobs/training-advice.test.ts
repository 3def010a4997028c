import { measurement } from "@tests/examples";
import { expect, test } from "vitest";
import { adviceFor } from "./training-advice";

const probe = (step: number, change: number, drift: number) =>
  measurement(step, {
    validation_loss: null,
    change_with_trigger: change,
    drift_without_trigger: drift,
  });
const validation = (...losses: number[]) =>
  losses.map((loss, index) => measurement(100 * index, { validation_loss: loss }));
const keys = (...given: Parameters<typeof adviceFor>) => adviceFor(...given).map(({ key }) => key);

test("a run without measurements gets no advice", () => {
  expect(keys([], 1000)).toEqual([]);
  expect(keys([measurement(500, { validation_loss: null })], 1000)).toEqual([]);
});

test("a LoRA that changes nothing is told so once a quarter of the steps is done", () => {
  expect(keys([probe(0, 0, 0), probe(200, 0.002, 0.001)], 1000)).toEqual([]);
  const late = adviceFor([probe(0, 0, 0), probe(250, 0.002, 0.001)], 1000);
  expect(late.map(({ key }) => key)).toEqual(["changesNothing"]);
  expect(late[0]?.message).toContain("0.2 %");
  expect(late[0]?.message).toContain("250");
  expect(keys([probe(250, 0.05, 0.001)], 1000)).toEqual([]);
  expect(keys([probe(50, 0.002, 0)], 100), "too early to say, in a run however short").toEqual([]);
});

test("a LoRA that moves the base as well is told so, one that keeps it is not", () => {
  expect(keys([probe(500, 0.3, 0.2)], 1000)).toEqual(["overwritesBase"]);
  expect(keys([probe(500, 0.6, 0.2)], 1000), "less than half of what the trigger does").toEqual([]);
  expect(keys([probe(500, 0.12, 0.09)], 1000), "within what counts as preserved").toEqual([]);
  expect(keys([probe(400, 0.3, 0.2), probe(500, 0.3, 0.02)], 1000), "the last counts").toEqual([]);
});

test("validation that has turned is told with its best step", () => {
  const turned = adviceFor(validation(0.5, 0.4, 0.3, 0.31, 0.32, 0.34), 1000);
  expect(turned.map(({ key }) => key)).toEqual(["pastItsBest"]);
  expect(turned[0]?.message).toContain("step 200 (0.3)");
  expect(keys(validation(0.5, 0.4, 0.3, 0.31, 0.34), 1000), "too short a time").toEqual([]);
  expect(keys(validation(0.5, 0.4, 0.3, 0.31, 0.31, 0.305), 1000), "hardly above").toEqual([]);
});
