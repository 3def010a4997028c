/**
 * What was typed into a form and not yet saved, kept in the browser so that neither a reload nor a
 * closed tab loses it. Entries for each form: a new job, a copy of job 7, the edit of job 12; of those
 * that make a new job, for each opening (own-draft.ts).
 */

import type { JobConfigValue } from "@/api/types";

export interface StoredDraft {
  config: JobConfigValue;
  storedAt: string;
}

const PREFIX = "darkroom.form.";

/** What the browser keeps of a form: settings, a text not read yet, what it is to learn, its start. */
const PARTS = ["", ".yaml", ".kind", ".begun"];

export function readDraft(form: string): StoredDraft | null {
  try {
    const stored = window.localStorage.getItem(PREFIX + form);
    const draft: unknown = stored === null ? null : JSON.parse(stored);
    return isDraft(draft) ? draft : null;
  } catch {
    // Storage may be forbidden, or hold what an older page wrote: then there is no draft.
    return null;
  }
}

function isDraft(value: unknown): value is StoredDraft {
  return (
    typeof value === "object" &&
    value !== null &&
    "storedAt" in value &&
    "config" in value &&
    typeof value.config === "object" &&
    value.config !== null
  );
}

/** False when the browser refuses to keep it; the form then says so. */
export function storeDraft(form: string, config: JobConfigValue): boolean {
  try {
    const draft: StoredDraft = { config, storedAt: new Date().toISOString() };
    window.localStorage.setItem(PREFIX + form, JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

export function clearDraft(form: string): void {
  try {
    window.localStorage.removeItem(PREFIX + form);
  } catch {
    // Nothing could be stored either.
  }
}

/** In place of what the other form has. */
export function moveDraft(from: string, to: string): void {
  if (copyDraft(from, to)) {
    for (const part of PARTS) {
      clearDraft(from + part);
    }
  }
}

/** In place of what the other form has; false when the browser refuses to keep it twice. */
export function copyDraft(from: string, to: string): boolean {
  try {
    for (const part of PARTS) {
      const stored = window.localStorage.getItem(PREFIX + from + part);
      if (stored === null) {
        clearDraft(to + part);
      } else {
        window.localStorage.setItem(PREFIX + to + part, stored);
      }
    }
    return true;
  } catch {
    return false;
  }
}

/** When anything of the form was stored last; null if nothing is. */
export function keptAt(form: string): string | null {
  const moments = PARTS.flatMap((part) => readDraft(form + part)?.storedAt ?? []);
  return moments.sort().at(-1) ?? null;
}

/** The forms whose names begin like that and end in a number, of which something is kept. */
export function draftsLike(beginning: string): string[] {
  try {
    const names = Object.keys(window.localStorage)
      .filter((name) => name.startsWith(PREFIX + beginning))
      .map((name) => beginning + name.slice((PREFIX + beginning).length).split(".")[0]);
    return [...new Set(names)].filter((name) => keptAt(name) !== null);
  } catch {
    return [];
  }
}

/** Whether the form holds something else by now than what was sent. */
export function isTypedSince(form: string, sent: JobConfigValue): boolean {
  const kept = readDraft(form);
  const isOther = kept !== null && JSON.stringify(kept.config) !== JSON.stringify(sent);
  return isOther || readDraft(`${form}.yaml`) !== null;
}
