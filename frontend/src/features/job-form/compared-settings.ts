/** Two jobs side by side, setting by setting, as the schema has them. */

import type { JobConfigValue } from "@/api/types";
import { text } from "@/messages";
import type { PanelModel, Setting } from "./setting-model";
import { valueInWords } from "./setting-words";

export interface ComparedSetting {
  path: string;
  label: string;
  one: string;
  other: string;
  same: boolean;
}

export interface ComparedPanel {
  key: string;
  title: string;
  settings: ComparedSetting[];
}

export function comparedPanels(
  panels: PanelModel[],
  one: JobConfigValue,
  other: JobConfigValue,
): ComparedPanel[] {
  return panels.map(({ key, title, setting }) => ({
    key,
    title,
    settings: compared(setting, key, [], one[key], other[key]),
  }));
}

/** One row for a setting, or the rows of what is in it. */
function compared(
  setting: Setting,
  path: string,
  labels: string[],
  one: unknown,
  other: unknown,
): ComparedSetting[] {
  if (setting.kind === "group") {
    return setting.fields.flatMap((field) =>
      compared(
        field,
        `${path}.${field.key}`,
        [...labels, field.label],
        fieldOf(one, field.key),
        fieldOf(other, field.key),
      ),
    );
  }
  if (setting.kind === "items") {
    return entriesCompared(setting, path, labels, listOf(one), listOf(other));
  }
  return [row(setting, path, labels, one, other)];
}

/** Entries by their place; one that the other job lacks has nothing beside it. */
function entriesCompared(
  setting: Setting,
  path: string,
  labels: string[],
  one: unknown[],
  other: unknown[],
): ComparedSetting[] {
  const count = Math.max(one.length, other.length);
  const places = Array.from({ length: count }, (_, place) => place);
  return places.flatMap((place) => {
    const here = [...labels, String(place + 1)];
    return setting.fields.flatMap((field) => {
      const rows = compared(
        field,
        `${path}.${place}.${field.key}`,
        [...here, field.label],
        fieldOf(one[place], field.key),
        fieldOf(other[place], field.key),
      );
      return rows.map((each) => ({
        ...each,
        one: place < one.length ? each.one : text.compare.notThere,
        other: place < other.length ? each.other : text.compare.notThere,
        same: each.same && place < one.length && place < other.length,
      }));
    });
  });
}

function row(
  setting: Setting,
  path: string,
  labels: string[],
  one: unknown,
  other: unknown,
): ComparedSetting {
  const left = orDefault(setting, one, other);
  const right = orDefault(setting, other, one);
  return {
    path,
    label: labels.join(" › "),
    one: valueInWords(setting, left),
    other: valueInWords(setting, right),
    same: JSON.stringify(left ?? null) === JSON.stringify(right ?? null),
  };
}

/** A schema names no default for a list: it begins empty, and a draft may leave it out. */
function orDefault({ defaultValue }: Setting, value: unknown, beside: unknown): unknown {
  if (value !== undefined) {
    return value;
  }
  return defaultValue === undefined && Array.isArray(beside) ? [] : defaultValue;
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
