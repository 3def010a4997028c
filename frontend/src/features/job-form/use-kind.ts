import { useState } from "react";
import { readDraft, storeDraft } from "./stored-draft";

/** What the LoRA is to learn, as the person said it; the browser remembers it for each form. */
export function useKind(form: string) {
  const stored = `${form}.kind`;
  const [kind, setKind] = useState<string | null>(() => {
    const kept = readDraft(stored)?.config.kind;
    return typeof kept === "string" ? kept : null;
  });
  const choose = (chosen: string) => {
    setKind(chosen);
    storeDraft(stored, { kind: chosen });
  };
  return { kind, choose };
}
