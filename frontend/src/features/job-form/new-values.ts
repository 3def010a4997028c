import { type ConfigPath, valueAt } from "./config-path";
import type { Setting } from "./setting-model";

/** An entry as it begins: like the first of the default job where that has one. */
export function newItem(
  setting: Setting,
  defaults: unknown,
  path: ConfigPath,
): Record<string, unknown> {
  const first = valueAt(defaults, [...path, 0]);
  return Object.fromEntries(
    setting.fields.map((field) => [field.key, valueAt(first, [field.key]) ?? blankOf(field)]),
  );
}

function blankOf(field: Setting): unknown {
  if (field.defaultValue !== undefined) {
    return field.defaultValue;
  }
  if (field.nullable) {
    return null;
  }
  switch (field.kind) {
    case "switch":
      return false;
    case "items":
    case "numbers":
    case "words":
      return [];
    case "choice":
      return field.choices[0]?.value;
    default:
      return "";
  }
}

/** A job with every panel and setting that the defaults know; what the job says wins. */
export function withDefaults(defaults: unknown, config: unknown): unknown {
  if (!isRecord(defaults) || !isRecord(config)) {
    return config === undefined ? defaults : config;
  }
  const keys = new Set([...Object.keys(defaults), ...Object.keys(config)]);
  return Object.fromEntries(
    [...keys].map((key) => [key, withDefaults(defaults[key], config[key])]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
