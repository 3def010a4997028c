import type { JobConfigValue } from "@/api/types";
import { words } from "@/messages/job-form";
import { comparedPanels } from "./compared-settings";
import classes from "./preset-panel.module.css";
import type { PanelModel } from "./setting-model";
import { type SettingsByPath, withSettings } from "./settings-by-path";

interface SettingDiffProps {
  title: string;
  panels: PanelModel[];
  config: JobConfigValue;
  settings: SettingsByPath;
}

/** Each setting that would change, as it is and as it would be. */
export function SettingDiff({ title, panels, config, settings }: SettingDiffProps) {
  const rows = changedSettings(panels, config, settings);
  return (
    <table className={classes.diff} aria-label={title}>
      <thead>
        <tr>
          <th scope="col">{words.presets.setting}</th>
          <th scope="col">{words.presets.now}</th>
          <th scope="col">{words.presets.afterwards}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ path, label, one, other }) => (
          <tr key={path}>
            <th scope="row">{label}</th>
            <td>{one}</td>
            <td>{other}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A row for each setting that is not as the settings say. */
export function changedSettings(
  panels: PanelModel[],
  config: JobConfigValue,
  settings: SettingsByPath,
) {
  return comparedPanels(panels, config, withSettings(config, settings)).flatMap((panel) =>
    panel.settings
      .filter(({ same }) => !same)
      .map((row) => ({ ...row, label: `${panel.title} › ${row.label}` })),
  );
}
