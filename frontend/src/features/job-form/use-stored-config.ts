import { type RefObject, useRef, useState } from "react";
import type { JobConfigValue } from "@/api/types";
import { forgetBegun, keepBegun } from "./begun";
import { clearDraft, readDraft, storeDraft } from "./stored-draft";

/**
 * The form's config: what was typed before when the browser still holds it, else what is saved.
 * Every change is kept in the browser at once (some kilobytes), until `forget`.
 */
export function useStoredConfig(
  form: string,
  saved: JobConfigValue,
  begun: RefObject<JobConfigValue> | null = null,
) {
  const [stored] = useState(() => readDraft(form));
  const [config, setConfig] = useState<JobConfigValue>(stored?.config ?? saved);
  const [restoredAt, setRestoredAt] = useState<string | null>(stored?.storedAt ?? null);
  const [kept, setKept] = useState(stored !== null);
  const latest = useRef(config);
  /** As this page stored or found it: another tab's is not this one's to forget. */
  const written = useRef(stored?.config);

  const change = (next: (config: JobConfigValue) => JobConfigValue) => {
    latest.current = next(latest.current);
    setConfig(latest.current);
    if (begun !== null && !kept) {
      keepBegun(form, begun.current);
    }
    const isKept = storeDraft(form, latest.current);
    if (isKept) {
      written.current = latest.current;
    }
    setKept(isKept);
  };

  const forget = () => {
    if (JSON.stringify(readDraft(form)?.config) === JSON.stringify(written.current)) {
      clearDraft(form);
      forgetBegun(form);
    }
    setRestoredAt(null);
    setKept(false);
  };

  const discard = () => {
    forget();
    latest.current = saved;
    setConfig(saved);
  };

  /** As it is now, which may be newer than what was drawn. */
  const held = () => latest.current;

  /** `kept`: there are changes, and this browser holds them. */
  return { config, kept, restoredAt, held, change, forget, discard };
}
