import { expect, test } from "vitest";
import { bytesBefore, grown, type Log, lengthened, MAX_LINES } from "./use-log";

const written = (offset: number, line: string) => ({ offset, line });
const part = (next: string | null, ...items: ReturnType<typeof written>[]) => ({
  items,
  next,
  run: 1,
});
const log = (next: number, ...lines: ReturnType<typeof written>[]): Log => ({
  lines,
  maxLines: MAX_LINES,
  next,
});

test("a log grows by what was read of it, and is read on from there", () => {
  const known = log(4, written(0, "one"));
  const more = grown(known, part("8", written(4, "two")));
  expect(more).toEqual(log(8, written(0, "one"), written(4, "two")));
  expect(grown(known, part(null)).next).toBe(4);
});

test("a log that is watched for days keeps its newest lines, and knows where they begin", () => {
  let watched = log(0);
  for (let read = 0; read < MAX_LINES / 10; read += 1) {
    const lines = Array.from({ length: 25 }, (_, i) => written(10 * (25 * read + i), "nine long"));
    watched = grown(watched, part(String(10 * 25 * (read + 1)), ...lines));
  }
  expect(watched.lines).toHaveLength(MAX_LINES);
  expect(watched.next).toBe(10 * 25 * 300);
  expect(bytesBefore(watched)).toBe(10 * (25 * 300 - MAX_LINES));
});

test("earlier lines that somebody asked for are not taken away while the log grows", () => {
  const newest = Array.from({ length: MAX_LINES }, (_, i) => written(10 * (i + 1), "nine long"));
  const longer = lengthened(log(10 * (MAX_LINES + 1), ...newest), part(null, written(0, "first")));
  expect(bytesBefore(longer)).toBe(0);
  expect(longer.lines).toHaveLength(MAX_LINES + 1);
  const read = grown(longer, part("99999", written(10 * (MAX_LINES + 1), "newer")));
  expect(read.lines).toHaveLength(MAX_LINES + 1);
});
