/**
 * Each opening of a form keeps a text of its own, so that two tabs with a new job keep two.
 *
 * What the browser holds has the form's name and a number: new~k3x9. The tab remembers its own
 * number through a reload (session storage). While a page shows the form it holds the text, and says
 * so beside it every HOLD_SECONDS; it lets go when the page or the form is left. A form that is
 * opened without a text of its own takes up the newest that nobody holds: of a tab that was closed.
 * A page that crashed lets nothing go, so that a hold counts for HELD_SECONDS only. That is longer
 * than a browser lets a hidden tab's timers sleep (a minute); where one is asleep for longer, its
 * text may go on in another tab, and is there, not lost.
 *
 * The browser's own locks are not to be had over plain http from another machine, and a message to
 * other tabs is not answered before the form is drawn.
 */

import { useEffect, useState } from "react";
import {
  clearDraft,
  copyDraft,
  draftsLike,
  keptAt,
  moveDraft,
  readDraft,
  storeDraft,
} from "./stored-draft";

const HOLD_SECONDS = 20;
const HELD_SECONDS = 180;
const TAB_PREFIX = "darkroom.tab.";

const randomName = () => Math.random().toString(36).slice(2, 10);
const PAGE = randomName();

/** The name under which this opening of a form keeps what is typed. */
export function useOwnDraft(form: string): string {
  const [own] = useState(() => openDraft(form, PAGE));
  useEffect(() => {
    const hold = () => holdDraft(own, PAGE);
    const letGo = () => letGoOfDraft(own);
    hold();
    const timer = setInterval(hold, HOLD_SECONDS * 1000);
    window.addEventListener("pagehide", letGo);
    window.addEventListener("pageshow", hold); // a page that comes back as it was left
    return () => {
      clearInterval(timer);
      window.removeEventListener("pagehide", letGo);
      window.removeEventListener("pageshow", hold);
      letGo();
    };
  }, [own]);
  return own;
}

/** As `useOwnDraft`; page: a name of the page's own, for as long as it is loaded. */
export function openDraft(form: string, page: string): string {
  const before = remembered(form);
  const isMine = before !== null && !isHeldElsewhere(before, page);
  const own = isMine ? before : `${form}~${randomName()}`;
  if (keptAt(form) !== null) {
    moveDraft(form, own); // handed over by another form
  } else if (before !== null && !isMine) {
    copyDraft(before, own); // a tab that was duplicated
  } else if (keptAt(own) === null) {
    const free = newestFree(form, page);
    if (free !== null) {
      moveDraft(free, own);
      letGoOfDraft(free);
    }
  }
  remember(form, own);
  return own;
}

export function holdDraft(own: string, page: string): void {
  storeDraft(heldOf(own), { page });
}

export function letGoOfDraft(own: string): void {
  clearDraft(heldOf(own));
}

function isHeldElsewhere(own: string, page: string): boolean {
  const held = readDraft(heldOf(own));
  return (
    held !== null &&
    held.config.page !== page &&
    Math.abs(Date.now() - Date.parse(held.storedAt)) < HELD_SECONDS * 1000
  );
}

function newestFree(form: string, page: string): string | null {
  const free = draftsLike(`${form}~`).filter((own) => !isHeldElsewhere(own, page));
  const oldestFirst = free.map((own) => ({ own, at: keptAt(own) ?? "" }));
  return oldestFirst.sort((one, other) => (one.at < other.at ? -1 : 1)).at(-1)?.own ?? null;
}

const heldOf = (own: string) => `${own}.held`;

/** The tab's own number for a form. */
function remembered(form: string): string | null {
  try {
    return window.sessionStorage.getItem(TAB_PREFIX + form);
  } catch {
    return null;
  }
}

function remember(form: string, own: string): void {
  try {
    window.sessionStorage.setItem(TAB_PREFIX + form, own);
  } catch {
    // Then a reload takes up the newest text that nobody holds.
  }
}
