/**
 * The values that an edit began over, kept beside what is typed, which may come back days later: the
 * server is to replace no others, so that nobody undoes unseen what was saved meanwhile.
 */

import type { JobConfigValue } from "@/api/types";
import { clearDraft, readDraft, storeDraft } from "./stored-draft";

/** Null where nothing is typed, or this browser keeps nothing. */
export function readBegun(form: string): JobConfigValue | null {
  return readDraft(form) === null ? null : (readDraft(begunOf(form))?.config ?? null);
}

export function keepBegun(form: string, config: JobConfigValue): void {
  storeDraft(begunOf(form), config);
}

export function forgetBegun(form: string): void {
  clearDraft(begunOf(form));
}

const begunOf = (form: string) => `${form}.begun`;
