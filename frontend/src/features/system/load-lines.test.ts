import { loadSample } from "@tests/examples";
import { expect, test } from "vitest";
import { linesOf, spanOf } from "./load-lines";

const share = (sample: ReturnType<typeof loadSample>) =>
  (sample.devices[0]?.memory_used_bytes ?? null) === null
    ? null
    : (sample.devices[0]?.memory_used_bytes ?? 0) / 100;
const outline = (samples: ReturnType<typeof loadSample>[], minutes = 1) =>
  linesOf(samples, 3, minutes, share).map((line) =>
    line.map(({ place, share }) => `${place.toFixed(2)}:${share}`).join(" "),
  );

test("samples one after the other are one line that ends at the right", () => {
  expect(outline([loadSample(0, 10), loadSample(3, 20), loadSample(60, 30)])).toEqual([
    "0.00:0.1 0.05:0.2",
    "1.00:0.3",
  ]);
});

test("a machine that nobody looked at is a gap and no line", () => {
  expect(outline([loadSample(54, 10), loadSample(57, null), loadSample(60, 10)])).toEqual([
    "0.90:0.1",
    "1.00:0.1",
  ]);
});

test("what is older than the span is left out", () => {
  expect(outline([loadSample(0, 10), loadSample(3, 10), loadSample(120, 20)])).toEqual([
    "1.00:0.2",
  ]);
});

test("the span is as long as there are samples, within reason", () => {
  expect(spanOf([])).toBe(2);
  expect(spanOf([loadSample(0, 1), loadSample(30, 1)])).toBe(2);
  expect(spanOf([loadSample(0, 1), loadSample(301, 1)])).toBe(6);
  expect(spanOf([loadSample(0, 1), loadSample(3000, 1)])).toBe(15);
});
