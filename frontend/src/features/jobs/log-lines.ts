/** A log's lines as a person looks through them: by how serious they are, and by what they say. */

import type { WrittenLine } from "@/api/types";

export type LogLevel = "debug" | "info" | "warning" | "error";

export interface LogLine extends WrittenLine {
  level: LogLevel;
}

const LEVELS: Record<string, LogLevel> = {
  DEBUG: "debug",
  INFO: "info",
  WARNING: "warning",
  ERROR: "error",
  CRITICAL: "error",
};
const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };

/** `20:15:02 WARNING …`, with the date before or not; a line that is not serious has no word. */
const HEAD =
  /^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d(?:[,.]\d+)? (?:encoding: )?(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL) )?/;
const TRACEBACK = /^Traceback \(most recent call last\)|^\w*(Error|Exception)\b/;

/** Each line with its level; one without a head of its own belongs to the line before it. */
export function levelled(lines: WrittenLine[]): LogLine[] {
  let level: LogLevel = "info";
  return lines.map(({ line, offset }) => {
    const head = HEAD.exec(line);
    if (head !== null) {
      level = LEVELS[head[1] ?? ""] ?? "info";
    } else if (TRACEBACK.test(line)) {
      level = "error";
    }
    return { line, offset, level };
  });
}

export function linesFrom(lines: LogLine[], least: LogLevel): LogLine[] {
  return lines.filter(({ level }) => RANK[level] >= RANK[least]);
}

/** Those that hold the words, whatever their case. */
export function linesWith(lines: LogLine[], words: string): LogLine[] {
  const wanted = words.trim().toLowerCase();
  return wanted === "" ? lines : lines.filter(({ line }) => line.toLowerCase().includes(wanted));
}

/** A line cut where the words stand: every second piece is a match. */
export function cutAt(line: string, words: string): string[] {
  const wanted = words.trim().toLowerCase();
  if (wanted === "") {
    return [line];
  }
  const pieces: string[] = [];
  const lower = line.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    pieces.push(line.slice(from, at), line.slice(at, at + wanted.length));
    from = at + wanted.length;
  }
  return [...pieces, line.slice(from)];
}
