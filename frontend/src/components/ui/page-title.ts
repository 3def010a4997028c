/**
 * The window's title and picture: what page it is, and before that how the work stands, so that a
 * tab among others, or a window in a corner, says it too.
 */

import { text } from "@/messages";

/** How things stand, in a few signs and a picture. */
export interface Mark {
  /** "▶ 43 %" */
  words: string;
  picture: "running" | "failed" | "completed" | "paused" | "waiting";
  /** Of the whole, 0 to 100; drawn as a ring. */
  percent: number | null;
}

let title = "";
let mark: Mark | null = null;

export function setPageTitle(words: string): void {
  title = words;
  write();
}

export function setPageMark(next: Mark | null): void {
  if (mark?.words === next?.words && mark?.picture === next?.picture) {
    return;
  }
  mark = next;
  write();
  document
    .querySelector("link[rel=icon]")
    ?.setAttribute("href", mark === null ? PLAIN_ICON : iconOf(mark));
}

function write(): void {
  const page = title === "" ? text.app.name : `${title} · ${text.app.name}`;
  document.title = mark === null ? page : `${mark.words} — ${page}`;
}

const PLAIN_ICON = "/favicon.svg";
const colours: Record<Mark["picture"], string> = {
  running: "#f7923a",
  failed: "#f0505a",
  completed: "#4cbf82",
  paused: "#efc15b",
  waiting: "#7fa5e8",
};
const signs: Record<Mark["picture"], string> = {
  running: "M13 10.500v11l9-5.500z",
  failed: "M11.500 11.500l9 9m0-9l-9 9",
  completed: "M10.500 16.500l4 4 7.500-8.500",
  paused: "M12.500 11v10m7-10v10",
  waiting: "M16 10.500V16l4 2.500",
};
const RADIUS = 13;

/** A ring as far as the work has come, with a sign that needs no colour. */
function iconOf({ picture, percent }: Mark): string {
  const colour = colours[picture];
  const around = 2 * Math.PI * RADIUS;
  const done = ((percent ?? 100) / 100) * around;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-linecap="round" stroke-linejoin="round"><rect width="32" height="32" rx="8" fill="#171517"/><circle cx="16" cy="16" r="${RADIUS}" stroke="#4b4745" stroke-width="4"/><circle cx="16" cy="16" r="${RADIUS}" stroke="${colour}" stroke-width="4" stroke-linecap="butt" stroke-dasharray="${done.toFixed(1)} ${around.toFixed(1)}" transform="rotate(-90 16 16)"/><path d="${signs[picture]}" stroke="${colour}" stroke-width="3" fill="${picture === "running" ? colour : "none"}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
