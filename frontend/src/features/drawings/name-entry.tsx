import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import classes from "./name-entry.module.css";

interface NameEntryProps {
  label: string;
  description?: string;
  placeholder: string;
  /** On the button. */
  add: string;
  onAdd: (name: string) => void;
}

/** A name is typed, and added by Enter or the button. */
export function NameEntry({ label, description, placeholder, add, onAdd }: NameEntryProps) {
  const [typed, setTyped] = useState("");
  const submit = () => {
    if (typed.trim() !== "") {
      onAdd(typed.trim());
      setTyped("");
    }
  };
  return (
    <div className={classes.entry}>
      <TextInput
        className={classes.typed}
        size="xs"
        label={label}
        description={description}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            submit();
          }
        }}
      />
      <Button size="xs" variant="default" aria-label={`${add}: ${label}`} onClick={submit}>
        {add}
      </Button>
    </div>
  );
}
