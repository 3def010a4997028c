/**
 * The plain form: the settings that most people touch, and of the others those that are set to
 * something else or have something said of them, so that nothing that matters is out of sight.
 */

import { type FieldProblem, problemsAt } from "./field-problems";
import type { PanelModel, Setting } from "./setting-model";

/** Whether the schema says which settings are plain; else a form shows them all. */
export function hasPlainSettings(panels: PanelModel[]): boolean {
  const isPlain = (setting: Setting): boolean => setting.plain || setting.fields.some(isPlain);
  return panels.some(({ setting }) => isPlain(setting));
}

export function belongsToPlainForm(
  setting: Setting,
  name: string,
  value: unknown,
  problems: FieldProblem[],
): boolean {
  return (
    setting.plain ||
    setting.required ||
    isChanged(setting, value) ||
    problemsAt(problems, name).length > 0
  );
}

function isChanged({ defaultValue, kind }: Setting, value: unknown): boolean {
  if (value === undefined) {
    return false;
  }
  if (defaultValue === undefined) {
    // A list's default is made anew each time, and the schema does not say it.
    return kind === "words" || kind === "numbers" || kind === "items"
      ? Array.isArray(value) && value.length > 0
      : value !== "" && value !== null;
  }
  return JSON.stringify(value) !== JSON.stringify(defaultValue);
}
