import { expect, test } from "vitest";
import { grown, type Log, MAX_LINES } from "./use-log";

const part = (next: string | null, ...lines: string[]) => ({
  items: lines.map((line) => ({ line })),
  next,
  run: 1,
});

test("a log grows by what was read of it, and is read on from there", () => {
  const log: Log = { lines: ["one"], dropped: 0, next: 4 };
  expect(grown(log, part("8", "two"))).toEqual({ lines: ["one", "two"], dropped: 0, next: 8 });
  expect(grown(log, part(null)).next).toBe(4);
});

test("a log that is watched for days keeps its newest lines and counts the others", () => {
  let log: Log = { lines: [], dropped: 0, next: 0 };
  for (let read = 1; read <= MAX_LINES / 10; read += 1) {
    log = grown(log, part(String(read), ...Array.from({ length: 25 }, (_, i) => `${read}.${i}`)));
  }
  expect(log.lines).toHaveLength(MAX_LINES);
  expect(log.lines.at(-1)).toBe("300.24");
  expect(log.dropped + log.lines.length).toBe(25 * 300);
});
