import type { JobConfigValue, Problem, Validation } from "@/api/types";
import { valueAt } from "./config-path";
import type { PanelModel, Setting } from "./setting-model";

export interface FieldProblem extends Omit<Problem, "severity"> {
  /** `missing`: an error, but only because nothing was filled in yet. `info`: advice. */
  severity: "error" | "warning" | "missing" | "info";
}

/** What was trained so far does not allow this value: only a new job may have it. */
export function needsClone({ code }: FieldProblem): boolean {
  return code === "needs_clone";
}

export function problemsOfValidation(validation: Validation): FieldProblem[] {
  return [
    ...validation.errors.map((problem) => ({ ...problem, severity: "error" as const })),
    ...validation.warnings.map((problem) => ({ ...problem, severity: "warning" as const })),
    ...validation.advice.map((problem) => ({ ...problem, severity: "info" as const })),
  ];
}

/**
 * The problems of a field, and of what is inside it (`datasets.0.resolutions.1` is shown at
 * `datasets.0.resolutions`).
 */
export function problemsAt(problems: FieldProblem[], name: string): FieldProblem[] {
  return problems.filter(({ field }) => field === name || field?.startsWith(`${name}.`) === true);
}

/** Nobody has done anything wrong with a field that was not reached yet: it is only still to fill in. */
export function withMissing(problems: FieldProblem[], config: JobConfigValue): FieldProblem[] {
  return problems.map((problem) =>
    problem.severity === "error" &&
    !needsClone(problem) &&
    problem.field &&
    isBlank(valueAt(config, problem.field.split(".")))
      ? { ...problem, severity: "missing" }
      : problem,
  );
}

function isBlank(value: unknown): boolean {
  return (
    value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length)
  );
}

/** What a problem belongs to: the widget that can take the focus, and the words to call it by. */
export interface FieldAddress {
  name: string;
  label: string;
}

/** The nearest field that is drawn, seen from the path the server gave. Null: the whole job. */
export function addressOf(
  panels: PanelModel[],
  field: string | null | undefined,
): FieldAddress | null {
  if (field === null || field === undefined) {
    return null;
  }
  const [panelKey, ...rest] = field.split(".");
  const panel = panels.find(({ key }) => key === panelKey);
  if (panel === undefined) {
    return null;
  }
  const labels = [panel.title];
  const names = [panel.key];
  let setting: Setting = panel.setting;
  for (const part of rest) {
    const isIndex = setting.kind === "items" && /^\d+$/.test(part);
    const inner = isIndex ? setting : setting.fields.find(({ key }) => key === part);
    if (inner === undefined) {
      break;
    }
    names.push(part);
    labels.push(isIndex ? String(Number(part) + 1) : inner.label);
    setting = inner;
  }
  return { name: names.join("."), label: labels.join(" › ") };
}
