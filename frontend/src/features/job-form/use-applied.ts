import { useState } from "react";
import type { JobConfigValue } from "@/api/types";
import { differences, type SettingsByPath, withSettings } from "./settings-by-path";

export interface Applied {
  label: string;
  count: number;
  before: SettingsByPath;
}

/** Settings set together, and the way back: of the last first, each to what stood there before. */
export function useApplied(change: (next: (config: JobConfigValue) => JobConfigValue) => void) {
  const [done, setDone] = useState<Applied[]>([]);
  const last = done[done.length - 1] ?? null;
  return {
    last,
    apply: (config: JobConfigValue, label: string, settings: SettingsByPath, counted?: number) => {
      const { next, before } = differences(config, settings);
      const count = counted ?? Object.keys(next).length;
      if (Object.keys(next).length > 0) {
        change((held) => withSettings(held, next));
        setDone((earlier) => [...earlier, { label, count, before }]);
      }
    },
    undo: () => {
      if (last !== null) {
        change((held) => withSettings(held, last.before));
        setDone((earlier) => earlier.slice(0, -1));
      }
    },
  };
}
