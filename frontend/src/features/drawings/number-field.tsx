import { TextInput } from "@mantine/core";
import { useState } from "react";
import { isReadAnew, numberTyped } from "@/lib/typed-number";
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
export function NumberField(props: NumberFieldProps) {
  const { label, value, onChange, blank, isWhole = false, error } = props;
  const [typed, setTyped] = useState<string | null>(null);
  const shown =
    typed !== null && numberTyped(typed, isWhole) === value ? typed : String(value ?? "");
  return (
    <TextInput
      label={label}
      size="sm"
      value={shown}
      placeholder={blank}
      error={error}
      inputMode={isWhole ? "numeric" : "decimal"}
      autoComplete="off"
      styles={{ input: { fontVariantNumeric: "tabular-nums" } }}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        onChange(numberTyped(event.currentTarget.value, isWhole));
      }}
      onBlur={() => typed !== null && isReadAnew(typed) && setTyped(null)}
    />
  );
}
