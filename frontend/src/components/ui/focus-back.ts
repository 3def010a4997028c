import { useEffect, useRef } from "react";

/**
 * Gives the focus back to what had it before, when something that was put on the page open is closed.
 *
 * Mantine does so for what it saw opening; of a dialog that is there from its first use only, it saw
 * nothing.
 */
export function useFocusBack(opened: boolean): void {
  const opener = useRef<Element | null | undefined>(undefined);
  if (opener.current === undefined) {
    opener.current = opened ? document.activeElement : null;
  }
  useEffect(() => {
    const element = opener.current;
    if (opened || !(element instanceof HTMLElement)) {
      return undefined;
    }
    opener.current = null;
    const atClose = document.activeElement;
    // A moment later: whoever moved the focus on purpose keeps it there.
    const timer = setTimeout(() => {
      const now = document.activeElement;
      if (now === null || now === document.body || now === atClose) {
        element.focus({ preventScroll: true });
      }
    }, 10);
    return () => clearTimeout(timer);
  }, [opened]);
}
