import { TextInput } from "@mantine/core";
import { type KeyboardEvent, useState } from "react";
import { formatSetting } from "@/lib/format";
import { isReadAnew, numberTyped } from "@/lib/typed-number";
import type { WidgetProps } from "./setting-widget";

/**
 * A number as people write it: 1e-4 as well as 0.0001, 2,000 as well as 2000. What is no number (yet)
 * stays as it was typed and goes to the server like that, whose message then names it.
 */
export function NumberWidget({ setting, id, describedBy, value, invalid, onChange }: WidgetProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed !== null && parse(typed) === value ? typed : asTyped(value);

  function parse(entry: string): number | string | null {
    return numberTyped(entry, setting.kind === "integer") ?? (setting.nullable ? null : "");
  }

  const take = (entry: string) => {
    setTyped(entry);
    onChange(parse(entry));
  };

  const stepByArrow = (event: KeyboardEvent) => {
    const direction = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (direction === 0 || setting.kind !== "integer" || typeof value !== "number") {
      return;
    }
    event.preventDefault();
    const next = value + direction * (setting.multipleOf ?? 1);
    if (next >= (setting.minimum ?? next) && next <= (setting.maximum ?? next)) {
      take(String(next));
    }
  };

  return (
    <TextInput
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      inputMode={setting.kind === "integer" ? "numeric" : "decimal"}
      placeholder={setting.placeholder ?? undefined}
      value={shown}
      onChange={(event) => take(event.currentTarget.value)}
      onBlur={() => typed !== null && isReadAnew(typed) && setTyped(null)}
      onKeyDown={stepByArrow}
      autoComplete="off"
      styles={{ input: { fontVariantNumeric: "tabular-nums" } }}
    />
  );
}

function asTyped(value: unknown): string {
  if (typeof value === "number") {
    return formatSetting(value);
  }
  return value === null || value === undefined ? "" : String(value);
}
