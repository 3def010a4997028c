/**
 * The form as the job schema describes it: panels of settings, each with what a widget needs.
 *
 * This is the only place that reads JSON schema. A setting that is new to the schema needs nothing
 * here: its type picks the widget, and a type that no widget knows is edited as JSON, so that
 * whatever the server knows can be set.
 */

import type { JobSchema } from "@/api/types";

export type SettingKind =
  | "switch"
  | "choice"
  | "integer"
  | "number"
  | "text"
  | "numbers"
  | "words"
  | "items"
  | "group"
  | "json";

export interface Choice {
  value: string | number;
  label: string;
  /** Why this machine cannot do it; null where it can. */
  unavailable: string | null;
  /** Why not every device of this machine can do it; null where all can. */
  limited: string | null;
}

export interface Setting {
  key: string;
  label: string;
  help: string;
  kind: SettingKind;
  /** What the schema asks for by name; null leaves it to the kind. */
  widget: string | null;
  unit: string | null;
  noEffect: string | null;
  /** What the guides recommend. */
  guides: string | null;
  /** One of those that a plain form shows. */
  plain: boolean;
  placeholder: string | null;
  choices: Choice[];
  /** Blank is a value: the setting takes its meaning from elsewhere. */
  nullable: boolean;
  required: boolean;
  defaultValue: unknown;
  minimum: number | null;
  maximum: number | null;
  multipleOf: number | null;
  maxLength: number | null;
  minItems: number;
  maxItems: number | null;
  /** Of one entry (`items`) or of the group (`group`). */
  fields: Setting[];
}

export interface PanelModel {
  key: string;
  title: string;
  setting: Setting;
}

type Node = Record<string, unknown>;

/** The panels in the server's order. */
export function panelsOf({ schema, panels }: JobSchema): PanelModel[] {
  const properties = nodeAt(schema, "properties");
  const required = namesAt(schema, "required");
  return panels.flatMap(({ key, title }) => {
    const node = properties[key];
    return isNode(node)
      ? [{ key, title, setting: settingOf(key, node, schema, required.has(key)) }]
      : [];
  });
}

function settingOf(key: string, raw: Node, root: Node, required: boolean): Setting {
  const { node, nullable } = resolved(raw, root);
  const choices = choicesOf(node);
  const items = node.items;
  const entry = isNode(items) ? resolved(items, root).node : null;
  const kind = kindOf(node, choices, entry);
  return {
    key,
    label: stringOf(node.title) ?? key,
    help: stringOf(node.description) ?? "",
    kind,
    widget: stringOf(node.widget),
    unit: stringOf(node.unit),
    noEffect: stringOf(node.no_effect),
    guides: stringOf(node.guides),
    plain: node.plain === true,
    placeholder: stringOf(node.placeholder),
    choices,
    nullable,
    required,
    defaultValue: node.default,
    minimum: numberOf(node.minimum) ?? numberOf(node.exclusiveMinimum),
    maximum: numberOf(node.maximum) ?? numberOf(node.exclusiveMaximum),
    multipleOf: numberOf(node.multipleOf),
    maxLength: numberOf(node.maxLength),
    minItems: numberOf(node.minItems) ?? 0,
    maxItems: numberOf(node.maxItems),
    fields: fieldsOf(kind === "items" ? entry : kind === "group" ? node : null, root),
  };
}

function fieldsOf(node: Node | null, root: Node): Setting[] {
  if (node === null) {
    return [];
  }
  const required = namesAt(node, "required");
  return Object.entries(nodeAt(node, "properties")).flatMap(([key, field]) =>
    isNode(field) ? [settingOf(key, field, root, required.has(key))] : [],
  );
}

/** References followed and "or null" unwrapped; what stands beside a reference wins over it. */
function resolved(raw: Node, root: Node): { node: Node; nullable: boolean } {
  const reference = stringOf(raw.$ref);
  if (reference !== null) {
    const target = nodeAt(root, "$defs")[reference.replace("#/$defs/", "")];
    const inner = resolved(isNode(target) ? target : {}, root);
    const { $ref: _, ...beside } = raw;
    return { node: { ...inner.node, ...beside }, nullable: inner.nullable };
  }
  const options = raw.anyOf;
  if (Array.isArray(options)) {
    const others = options.filter(isNode).filter((option) => option.type !== "null");
    const [only] = others;
    if (others.length === 1 && only !== undefined) {
      const inner = resolved(only, root);
      const { anyOf: _, ...beside } = raw;
      return { node: { ...inner.node, ...beside }, nullable: others.length < options.length };
    }
  }
  return { node: raw, nullable: false };
}

function kindOf(node: Node, choices: Choice[], entry: Node | null): SettingKind {
  if (choices.length > 0) {
    return "choice";
  }
  switch (node.type) {
    case "boolean":
      return "switch";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "string":
      return "text";
    case "object":
      return isNode(node.properties) ? "group" : "json";
    case "array":
      if (entry !== null && isNode(entry.properties)) {
        return "items";
      }
      if (entry?.type === "string") {
        return "words";
      }
      return entry?.type === "integer" || entry?.type === "number" ? "numbers" : "json";
    default:
      return "json";
  }
}

function choicesOf(node: Node): Choice[] {
  const values = Array.isArray(node.enum) ? node.enum : "const" in node ? [node.const] : [];
  const labels = isNode(node.choices) ? node.choices : {};
  const unavailable = isNode(node.unavailable) ? node.unavailable : {};
  const limited = isNode(node.limited) ? node.limited : {};
  return values
    .filter((value) => typeof value === "string" || typeof value === "number")
    .map((value) => ({
      value,
      label: stringOf(labels[value]) ?? String(value),
      unavailable: stringOf(unavailable[value]),
      limited: stringOf(limited[value]),
    }));
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nodeAt(node: Node, key: string): Node {
  const value = node[key];
  return isNode(value) ? value : {};
}

function namesAt(node: Node, key: string): Set<unknown> {
  const value = node[key];
  return new Set(Array.isArray(value) ? value : []);
}

function stringOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
