import { useState } from "react";
import { words } from "@/messages/job-form";
import { type ConfigPath, pathName } from "./config-path";
import { useForm } from "./form-context";
import { belongsToPlainForm } from "./plain-view";
import type { Setting } from "./setting-model";
import classes from "./shown-settings.module.css";

/**
 * Of a group's settings those that the form shows now, and a button for the others. What was once
 * shown stays, or it would vanish under the hand that sets it back to its default.
 */
export function useShownSettings(
  settings: Setting[],
  path: ConfigPath,
  values: Record<string, unknown>,
) {
  const { plain, problems } = useForm();
  const [all, setAll] = useState(false);
  const [seen] = useState(() => new Set<string>());
  if (!plain || all) {
    return { shown: settings, more: null };
  }
  const shown = settings.filter((setting) => {
    const name = pathName([...path, setting.key]);
    if (seen.has(name) || belongsToPlainForm(setting, name, values[setting.key], problems)) {
      seen.add(name);
      return true;
    }
    return false;
  });
  const hidden = settings.length - shown.length;
  const more =
    hidden === 0 ? null : (
      <button type="button" className={classes.more} onClick={() => setAll(true)}>
        {words.views.more(hidden)}
      </button>
    );
  return { shown, more };
}
