import { TextInput } from "@mantine/core";
import { useState } from "react";
import type { Typed } from "./draft";

interface NumberFieldProps {
  label: string;
  value: Typed;
  onChange: (value: Typed) => void;
  /** What a blank field stands for; without it the field is not to be blank. */
  blank?: string;
  isWhole?: boolean;
  error?: string | undefined;
}

/** A number as it is typed; what is none goes to the server as it is, whose message names it. */
export function NumberField({ label, value, onChange, blank, isWhole, error }: NumberFieldProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed !== null && numberIn(typed) === value ? typed : String(value ?? "");
  return (
    <TextInput
      label={label}
      size="sm"
      value={shown}
      placeholder={blank}
      error={error}
      inputMode={isWhole === true ? "numeric" : "decimal"}
      autoComplete="off"
      styles={{ input: { fontVariantNumeric: "tabular-nums" } }}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        onChange(numberIn(event.currentTarget.value));
      }}
    />
  );
}

/** Null for nothing; what is no number as it was typed. */
export function numberIn(typed: string): Typed {
  const trimmed = typed.trim();
  if (trimmed === "") {
    return null;
  }
  const number = Number(trimmed.replace(",", "."));
  return Number.isFinite(number) ? number : typed;
}
