/** Where in a YAML text a problem's setting stands. */

import type { FieldProblem } from "./field-problems";

export interface ProblemAtLine {
  /** From 1; null for what belongs to no line. */
  line: number | null;
  message: string;
  severity: FieldProblem["severity"];
}

/** The line of a setting, or of the nearest thing around it that the text has. */
export function lineOf(
  field: string | null | undefined,
  lines: Record<string, number>,
): number | null {
  let path = field ?? "";
  while (path !== "") {
    const line = lines[path];
    if (line !== undefined) {
      return line;
    }
    path = path.slice(0, Math.max(0, path.lastIndexOf(".")));
  }
  return null;
}

/** What the door says, each at its line, from the top of the text to its end. */
export function linesOfProblems(
  problems: FieldProblem[],
  lines: Record<string, number>,
): ProblemAtLine[] {
  return problems
    .map(({ field, message, hint, severity }) => ({
      line: lineOf(field, lines),
      message: `${message} ${hint}`.trim(),
      severity,
    }))
    .sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
}

/** First and last place of a line's letters in the text. */
export function placeOfLine(text: string, line: number): [number, number] {
  const before = text.split("\n").slice(0, line - 1);
  const from = before.reduce((sum, each) => sum + each.length + 1, 0);
  const end = text.indexOf("\n", from);
  return [from, end < 0 ? text.length : end];
}
