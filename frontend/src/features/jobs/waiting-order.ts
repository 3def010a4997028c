/** Places in the list of waiting jobs: where a job goes, and how the list is numbered then. */

import type { JobList } from "@/api/job-lists";
import type { JobSummary } from "@/api/types";

export type Step = "up" | "down" | "top" | "bottom";

/** A job, and the job that it is to stand before; null for the end. */
export interface Move {
  id: number;
  before: number | null;
}

/** Where a step leads: the job to stand before, null for the end; or why it leads nowhere. */
export function targetOf(
  { items, next }: JobList,
  id: number,
  step: Step,
): { before: number | null } | "isFirst" | "isLast" {
  const index = items.findIndex((job) => job.id === id);
  const isLast = index === items.length - 1;
  if (step === "up" || step === "top") {
    const before = items[step === "top" ? 0 : index - 1];
    return index <= 0 || before === undefined ? "isFirst" : { before: before.id };
  }
  if (step === "bottom") {
    return isLast && next === null ? "isLast" : { before: null };
  }
  const before = items[index + 2];
  if (before !== undefined) {
    return { before: before.id };
  }
  // The end of the list that is shown; of a longer one, what follows is not known here.
  return isLast || next !== null ? "isLast" : { before: null };
}

/** The jobs with one moved, in the places that they held together. */
export function inNewOrder(items: JobSummary[], id: number, before: number | null): JobSummary[] {
  const moved = items.find((job) => job.id === id);
  if (moved === undefined || before === id) {
    return items;
  }
  const places = items.map((job) => job.queue_position).sort((a, b) => (a ?? 0) - (b ?? 0));
  const others = items.filter((job) => job.id !== id);
  const found = others.findIndex((job) => job.id === before);
  const index = before === null || found === -1 ? others.length : found;
  const neighbour = others[index] ?? others.at(-1);
  const placed = { ...moved, priority: neighbour?.priority ?? moved.priority };
  return [...others.slice(0, index), placed, ...others.slice(index)].map((job, place) => {
    const queue_position = places[place] ?? null;
    return job.queue_position === queue_position ? job : { ...job, queue_position };
  });
}

/** The list after these moves, one after the other. */
export function withMoves(list: JobList, moves: readonly Move[]): JobList {
  if (moves.length === 0) {
    return list;
  }
  const items = moves.reduce((now, { id, before }) => inNewOrder(now, id, before), list.items);
  return { ...list, items };
}
