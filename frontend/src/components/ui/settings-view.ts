import { type ComponentType, createContext } from "react";

export interface SettingsViewProps {
  className: string | undefined;
  /** Values by dotted path. */
  settings: Record<string, unknown>;
}

/**
 * What shows settings under the names that the form has for them. The form's feature brings it, and
 * the app hands it to the others, which import no feature.
 */
export const SettingsView = createContext<ComponentType<SettingsViewProps>>(() => null);
