import { describe, expect, test } from "vitest";
import { cutAt, levelled, linesFrom, linesWith } from "./log-lines";

const log = levelled(
  [
    "20:15:02 ink: run 1, 300 steps",
    "20:15:03 WARNING the loss of step 4 is not finite",
    "  it was skipped",
    "20:15:04 step 10: loss 0.5",
    "Traceback (most recent call last):",
    '  File "run.py", line 1, in <module>',
    "ZeroDivisionError: by hand",
    "2026-01-31 20:15:05,500 CRITICAL trainer: gone",
  ].map((line, offset) => ({ line, offset })),
);
const places = (lines: { offset: number }[]) => lines.map(({ offset }) => offset);

describe("a log", () => {
  test("has the level that its lines say, and lines without one belong to the line before", () => {
    expect(log.map(({ level }) => level)).toEqual([
      "info",
      "warning",
      "warning",
      "info",
      "error",
      "error",
      "error",
      "error",
    ]);
  });

  test("is looked through by level and by words in any case", () => {
    expect(places(linesFrom(log, "warning"))).toEqual([1, 2, 4, 5, 6, 7]);
    expect(places(linesFrom(log, "error"))).toEqual([4, 5, 6, 7]);
    expect(places(linesWith(log, " LOSS "))).toEqual([1, 3]);
    expect(linesWith(log, "  ")).toBe(log);
  });

  test("shows where in a line the words are", () => {
    expect(cutAt("Step 1, step 2", "step")).toEqual(["", "Step", " 1, ", "step", " 2"]);
    expect(cutAt("nothing", "step")).toEqual(["nothing"]);
    expect(cutAt("nothing", "")).toEqual(["nothing"]);
  });
});
