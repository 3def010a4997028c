import { useSyncExternalStore } from "react";

let message = "";
const listeners = new Set<() => void>();

/** Say something to screen readers; a repeated sentence is said again. */
export function announce(sentence: string): void {
  message = sentence === message ? `${sentence}\u00a0` : sentence;
  for (const listener of listeners) {
    listener();
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The page's one polite live region. */
export function Announcer() {
  const current = useSyncExternalStore(subscribe, () => message);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {current}
    </div>
  );
}
