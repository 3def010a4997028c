/** Numbers, sizes and times as people read them. All times come from the server in UTC. */

import { text } from "@/messages";

const NONE = text.time.unknown;
const wholeNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function formatCount(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : wholeNumber.format(value);
}

/** Four significant digits: 0.1234, 12.34, 1.2e-5. */
export function formatLoss(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return NONE;
  }
  if (value !== 0 && Math.abs(value) < 0.001) {
    return value.toExponential(2);
  }
  return String(Number(value.toPrecision(4)));
}

/** As a person would type it: 1e-4 and not 0.0001. */
export function formatSetting(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) {
    return value.toExponential().replace("e+", "e");
  }
  return String(value);
}

export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) {
    return NONE;
  }
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** Memory, counted as device makers and nvidia-smi do. */
export function formatGib(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) {
    return NONE;
  }
  const gib = bytes / 1024 ** 3;
  return `${gib.toFixed(gib < 10 ? 1 : 0)} GiB`;
}

/** 4 s, 3 min 20 s, 2 h 05 min, 1 d 4 h. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds) || seconds < 0) {
    return NONE;
  }
  const total = Math.round(seconds);
  if (total < 60) {
    return `${total} s`;
  }
  if (total < 3600) {
    const rest = total % 60;
    return rest === 0 ? `${Math.floor(total / 60)} min` : `${Math.floor(total / 60)} min ${rest} s`;
  }
  if (total < 86_400) {
    const minutes = Math.floor((total % 3600) / 60);
    return `${Math.floor(total / 3600)} h ${String(minutes).padStart(2, "0")} min`;
  }
  return `${Math.floor(total / 86_400)} d ${Math.floor((total % 86_400) / 3600)} h`;
}

/** Time for one step: 340 ms, 1.24 s, 12.3 s. */
export function formatStepTime(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
    return NONE;
  }
  if (seconds < 1) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  return seconds < 10 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
}

export function formatPercent(done: number, total: number): string {
  return total > 0 ? `${Math.floor((100 * done) / total)} %` : NONE;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const dateAndClock = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** The clock time today, with the day near today, with the date further off. */
export function formatMoment(moment: Date | string | null | undefined, now = new Date()): string {
  if (moment === null || moment === undefined) {
    return NONE;
  }
  const when = moment instanceof Date ? moment : new Date(moment);
  if (when.toDateString() === now.toDateString()) {
    return clock.format(when);
  }
  const daysApart = Math.abs(when.getTime() - now.getTime()) / 86_400_000;
  return daysApart < 6 ? dayAndClock.format(when) : dateAndClock.format(when);
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "3 minutes ago" */
export function formatAgo(moment: Date | string, now = new Date()): string {
  const when = moment instanceof Date ? moment : new Date(moment);
  const seconds = (when.getTime() - now.getTime()) / 1000;
  if (Math.abs(seconds) < 45) {
    return text.time.now;
  }
  if (Math.abs(seconds) < 3600) {
    return relative.format(Math.round(seconds / 60), "minute");
  }
  if (Math.abs(seconds) < 86_400) {
    return relative.format(Math.round(seconds / 3600), "hour");
  }
  return relative.format(Math.round(seconds / 86_400), "day");
}

/** Short facts in a row; a line ends between two of them, never within one. */
export function joinFacts(facts: string[]): string {
  return facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join("\u00a0· ");
}

export function secondsBetween(from: string | null, to: string | null): number | null {
  return from === null || to === null ? null : (Date.parse(to) - Date.parse(from)) / 1000;
}
