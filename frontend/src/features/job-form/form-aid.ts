import type { Device, JobConfigValue } from "@/api/types";
import type { PanelModel } from "./setting-model";
import type { SettingsByPath } from "./settings-by-path";

/** What stands around the fields and may change them: presets, memory plan. */
export interface FormAid {
  config: JobConfigValue;
  panels: PanelModel[];
  /** Of this machine; null while they are not known. */
  devices: Device[] | null;
  /** A job with every default. */
  defaults: JobConfigValue;
  /** What the LoRA is to learn, if the person said so. */
  kind: string | null;
  onKind: (kind: string) => void;
  /**
   * Set these, once; the label is what the way back is called, `count` how many it says. False, and
   * nothing is set, while the YAML text cannot be read.
   */
  onApply: (label: string, settings: SettingsByPath, count?: number) => Promise<boolean>;
  /** As if its button were pressed. */
  onSubmit: (what: "save" | "queue") => void;
}

/** Sizes of cards that there are, in GB as their names say. */
export const CARD_SIZES_GB = [8, 12, 16, 24, 32, 48, 80, 96, 141];

export const GIB = 1024 ** 3;
