import { useState } from "react";
import { clearDraft, readDraft, storeDraft } from "./stored-draft";

/** What the LoRA is to learn, as the person said it; the browser remembers it for each form. */
export function useKind(form: string) {
  const [kind, setKind] = useState(() => readKind(form));
  const choose = (chosen: string) => {
    setKind(chosen);
    storeDraft(entryOf(form), { kind: chosen });
  };
  const forget = () => {
    setKind(null);
    forgetKind(form);
  };
  return { kind, choose, forget };
}

/** For a form that goes on from another one. */
export function copyKind(form: string, to: string): void {
  const kind = readKind(form);
  if (kind === null) {
    forgetKind(to);
  } else {
    storeDraft(entryOf(to), { kind });
  }
}

export function forgetKind(form: string): void {
  clearDraft(entryOf(form));
}

function readKind(form: string): string | null {
  const kept = readDraft(entryOf(form))?.config.kind;
  return typeof kept === "string" ? kept : null;
}

function entryOf(form: string): string {
  return `${form}.kind`;
}
