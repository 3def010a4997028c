/**
 * Changing a job while it runs: which settings, and what was asked of its trainer.
 *
 * The server says which settings may change; a change holds each at its path, `panel.name`, whole.
 */

import type { Command, JobConfigValue } from "@/api/types";
import { type ConfigPath, pathName, valueAt, withValueAt } from "./config-path";
import type { PanelModel, Setting } from "./setting-model";

/** Settings by path, each with the value that it is to have. */
export type Changes = Record<string, unknown>;

/** Name under which the browser keeps what is typed for a running job and not sent yet. */
export const changeForm = (jobId: number) => `change-${jobId}`;

/** The panels with only what may change in them. */
export function changeablePanels(panels: PanelModel[], changeable: string[]): PanelModel[] {
  const paths = new Set(changeable);
  return panels.flatMap((panel) => {
    const fields = panel.setting.fields.filter(({ key }) => paths.has(`${panel.key}.${key}`));
    return fields.length === 0 ? [] : [{ ...panel, setting: { ...panel.setting, fields } }];
  });
}

export function withChanges(config: JobConfigValue, changes: Changes): JobConfigValue {
  return Object.entries(changes).reduce(
    (changed, [path, value]) => withValueAt(changed, path.split("."), value),
    config,
  );
}

/** The changes with one value within a setting replaced. */
export function changedAt(
  config: JobConfigValue,
  changes: Changes,
  path: ConfigPath,
  value: unknown,
): Changes {
  const setting = path.slice(0, 2);
  const changed = withValueAt(withChanges(config, changes), path, value);
  return { ...changes, [pathName(setting)]: valueAt(changed, setting) };
}

/** Those that make a difference. */
export function realChanges(config: JobConfigValue, changes: Changes): Changes {
  return Object.fromEntries(
    Object.entries(changes).filter(
      ([path, value]) => JSON.stringify(valueAt(config, path.split("."))) !== JSON.stringify(value),
    ),
  );
}

/** The job as it will be once its trainer has taken what it was asked. */
export function asAsked(config: JobConfigValue, commands: Command[]): JobConfigValue {
  const waiting = commands.filter(
    ({ command, outcome }) => command === "change" && outcome === "waiting",
  );
  return withChanges(config, Object.assign({}, ...waiting.reverse().map((one) => one.settings)));
}

/** The setting at `panel.name`. */
export function settingAt(panels: PanelModel[], path: string): Setting | undefined {
  const [panelKey, key] = path.split(".");
  return panels
    .find((panel) => panel.key === panelKey)
    ?.setting.fields.find((field) => field.key === key);
}
