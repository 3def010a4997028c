import { formatSetting } from "@/lib/format";
import { text } from "@/messages";
import type { Setting } from "./setting-model";

/** A setting's value as a person would say it. */
export function valueInWords(setting: Setting, value: unknown): string {
  if (value === null || value === undefined || value === "") {
    return setting.placeholder ?? text.form.blank;
  }
  if (typeof value === "boolean") {
    return value ? text.form.on : text.form.off;
  }
  if (typeof value === "number") {
    return formatSetting(value);
  }
  if (Array.isArray(value)) {
    return value.length === 0
      ? text.form.none
      : value.map((entry) => entryInWords(setting, entry)).join(" · ");
  }
  if (typeof value === "object") {
    return JSON.stringify(value);
  }
  return setting.choices.find((choice) => choice.value === value)?.label ?? String(value);
}

/** An entry of a list by what names it: its first setting, and the others that it gives. */
function entryInWords({ fields }: Setting, entry: unknown): string {
  if (typeof entry !== "object" || entry === null) {
    return typeof entry === "number" ? formatSetting(entry) : String(entry);
  }
  const values = entry as Record<string, unknown>;
  const [first, ...others] = fields.filter(({ key, defaultValue }) => {
    const value = values[key];
    return value !== null && value !== undefined && value !== "" && value !== defaultValue;
  });
  const own = others
    .filter(({ key }) => !Array.isArray(values[key]) || (values[key] as unknown[]).length > 0)
    .map((field) => `${field.label} ${valueInWords(field, values[field.key])}`);
  const name = first === undefined ? text.form.blank : valueInWords(first, values[first.key]);
  return own.length === 0 ? name : `${name} (${own.join(", ")})`;
}
