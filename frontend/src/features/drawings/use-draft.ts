import { useCallback, useRef, useState } from "react";
import { type Draft, EMPTY_DRAFT } from "./draft";

const KEY = "darkroom.try";

export interface StoredDraft {
  draft: Draft;
  change: (next: (draft: Draft) => Draft) => void;
}

/** What is to be drawn, kept in this browser with every letter, so that a reload loses nothing. */
export function useDraft(): StoredDraft {
  const [draft, setDraft] = useState(read);
  const latest = useRef(draft);
  const change = useCallback((next: (draft: Draft) => Draft) => {
    latest.current = next(latest.current);
    setDraft(latest.current);
    try {
      window.localStorage.setItem(KEY, JSON.stringify(latest.current));
    } catch {
      // Storage may be forbidden or full; then it lasts as long as the page.
    }
  }, []);
  return { draft, change };
}

function read(): Draft {
  try {
    const stored: unknown = JSON.parse(window.localStorage.getItem(KEY) ?? "null");
    return isDraft(stored) ? stored : EMPTY_DRAFT;
  } catch {
    return EMPTY_DRAFT;
  }
}

/** Whether everything is there, and of its kind; what an older page wrote may be otherwise. */
function isDraft(stored: unknown): stored is Draft {
  if (typeof stored !== "object" || stored === null) {
    return false;
  }
  const values = stored as Record<string, unknown>;
  return Object.entries(EMPTY_DRAFT).every(([name, like]) => {
    const value = values[name];
    return Array.isArray(like)
      ? Array.isArray(value)
      : name in values && (isTyped(like) || typeof value === typeof like);
  });
}

function isTyped(like: unknown): boolean {
  return like === null || typeof like === "number";
}
