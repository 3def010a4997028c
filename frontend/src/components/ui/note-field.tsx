import { Textarea } from "@mantine/core";
import { useState } from "react";

interface NoteFieldProps {
  label: string;
  note: string;
  onSave: (note: string) => void;
}

const LONGEST = 2000;

/** A few words of one's own; kept when the field is left. */
export function NoteField({ label, note, onSave }: NoteFieldProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const leave = () => {
    if (typed !== null && typed !== note) {
      onSave(typed);
    }
    setTyped(null);
  };
  return (
    <Textarea
      size="xs"
      autosize
      minRows={1}
      maxRows={6}
      maxLength={LONGEST}
      aria-label={label}
      placeholder={label}
      value={typed ?? note}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onBlur={leave}
    />
  );
}
