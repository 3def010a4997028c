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

  const change = (next: (config: JobConfigValue) => JobConfigValue) => {
    latest.current = next(latest.current);
    setConfig(latest.current);
    if (begun !== null && !kept) {
      keepBegun(form, begun.current);
    }
    setKept(storeDraft(form, latest.current));
  };

  const forget = () => {
    clearDraft(form);
    forgetBegun(form);
    setRestoredAt(null);
    setKept(false);
  };

  const discard = () => {
    forget();
    latest.current = saved;
    setConfig(saved);
  };

  /** `kept`: there are changes, and this browser holds them. */
  return { config, kept, restoredAt, change, forget, discard };
}
