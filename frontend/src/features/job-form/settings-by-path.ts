/**
 * Settings that come from elsewhere than a field: of a preset, of the memory plan. Dotted paths;
 * `*` in the place of a number means every entry of the list.
 */

import type { JobConfigValue } from "@/api/types";
import { valueAt, withValueAt } from "./config-path";

export type SettingsByPath = Record<string, unknown>;

/** The same with `*` written out; what lies in an entry that is not there is left out. */
export function withoutWildcards(config: JobConfigValue, settings: SettingsByPath): SettingsByPath {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([path, value]) =>
      placesOf(config, path.split(".")).map((place) => [place, value]),
    ),
  );
}

/** The config with the settings. */
export function withSettings(config: JobConfigValue, settings: SettingsByPath): JobConfigValue {
  return Object.entries(withoutWildcards(config, settings)).reduce(
    (changed, [path, value]) => withValueAt(changed, path.split("."), value),
    config,
  );
}

/** Those that make a difference, and what stands there now. */
export function differences(
  config: JobConfigValue,
  settings: SettingsByPath,
): { next: SettingsByPath; before: SettingsByPath } {
  const changed = Object.entries(withoutWildcards(config, settings)).filter(
    ([path, value]) =>
      JSON.stringify(valueAt(config, path.split(".")) ?? null) !== JSON.stringify(value ?? null),
  );
  return {
    next: Object.fromEntries(changed),
    before: Object.fromEntries(
      changed.map(([path]) => [path, valueAt(config, path.split(".")) ?? null]),
    ),
  };
}

function placesOf(config: unknown, parts: string[]): string[] {
  const star = parts.indexOf("*");
  if (star >= 0) {
    const list = valueAt(config, parts.slice(0, star));
    const count = Array.isArray(list) ? list.length : 0;
    return Array.from({ length: count }, (_, place) => place).flatMap((place) =>
      placesOf(config, [...parts.slice(0, star), String(place), ...parts.slice(star + 1)]),
    );
  }
  const number = parts.findIndex((part) => /^\d+$/.test(part));
  const inEntry = number >= 0 && valueAt(config, parts.slice(0, number + 1)) === undefined;
  return inEntry ? [] : [parts.join(".")];
}
