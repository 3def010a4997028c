/** Settings by dotted path, named as the form and the comparison of two jobs name them. */

import type { PanelModel, Setting } from "./setting-model";
import { valueInWords } from "./setting-words";

export interface NamedSetting {
  path: string;
  label: string;
  value: string;
}

/** What the schema does not know keeps its path and is written as JSON. */
export function namedSettings(
  panels: PanelModel[],
  settings: Record<string, unknown>,
): NamedSetting[] {
  return Object.entries(settings).map(([path, value]) => {
    const found = settingNamed(panels, path);
    return found === null
      ? { path, label: path, value: JSON.stringify(value) }
      : { path, label: found.labels.join(" › "), value: valueInWords(found.setting, value) };
  });
}

/** The setting with the titles on the way to it; the place of an entry counts from 1. */
function settingNamed(panels: PanelModel[], path: string) {
  const [key, ...rest] = path.split(".");
  const panel = panels.find((one) => one.key === key);
  if (panel === undefined) {
    return null;
  }
  const labels = [panel.title];
  let setting: Setting = panel.setting;
  for (const step of rest) {
    if (setting.kind === "items" && /^\d+$/.test(step)) {
      labels.push(String(Number(step) + 1));
      continue;
    }
    const field = setting.fields.find((one) => one.key === step);
    if (field === undefined) {
      return null;
    }
    labels.push(field.label);
    setting = field;
  }
  return { labels, setting };
}
