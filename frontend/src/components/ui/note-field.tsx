import { Textarea } from "@mantine/core";
import { useEffect, useRef, useState } from "react";

interface NoteFieldProps {
  label: string;
  note: string;
  onSave: (note: string) => void;
  onFocus?: () => void;
}

interface Entry extends Pick<NoteFieldProps, "note" | "onSave"> {
  /** Null where nothing was typed that is not saved. */
  typed: string | null;
}

const LONGEST = 2000;

/** A few words of one's own; kept when the field is left, and when it is taken away. */
export function NoteField({ label, note, onSave, onFocus }: NoteFieldProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const latest = useRef<Entry>({ typed, note, onSave });
  latest.current = { typed, note, onSave };
  // React tells nothing of a focus that goes with its field.
  useEffect(() => () => save(latest.current), []);
  const leave = () => {
    save(latest.current);
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
      onFocus={onFocus}
      onBlur={leave}
    />
  );
}

function save(entry: Entry): void {
  if (entry.typed !== null && entry.typed !== entry.note) {
    entry.onSave(entry.typed);
  }
  // Once: a field that is left may be taken away before it is drawn again.
  entry.typed = null;
}
