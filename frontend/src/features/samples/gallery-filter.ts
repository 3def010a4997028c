/** What of a gallery is to be seen. */

import type { Sample } from "@/api/types";
import { type Gallery, stepsOf } from "./gallery-model";

export interface Filter {
  /** Words that a prompt must have, or a prompt and a picture's note between them, in any order. */
  words: string;
  fromStep: number | null;
  toStep: number | null;
  starred: boolean;
  newestFirst: boolean;
}

export const NO_FILTER: Filter = {
  words: "",
  fromStep: null,
  toStep: null,
  starred: false,
  newestFirst: false,
};

/** What is to be seen; the base model's pictures stay beside it, to compare with. */
export function filtered(gallery: Gallery, filter: Filter): Gallery {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const hasWords = (said: string) => words.every((word) => said.toLowerCase().includes(word));
  const inRange = (step: number) =>
    step === 0 || (step >= (filter.fromStep ?? 0) && step <= (filter.toStep ?? Infinity));
  const groups = gallery.groups
    .map((group) => {
      const isAsked = hasWords(group.prompt);
      const isWanted = (step: number, sample: Sample) =>
        inRange(step) &&
        (!filter.starred || sample.is_starred) &&
        (isAsked || hasWords(`${group.prompt} ${sample.note}`));
      // What is not a picture has neither star nor note.
      const isShown = (step: number) => isAsked && !filter.starred && inRange(step);
      const lanes = group.lanes.map((lane) => {
        const wanted = kept(lane.byStep, isWanted);
        return {
          ...lane,
          byStep:
            wanted.size === 0
              ? wanted
              : kept(lane.byStep, (step) => step === 0 || wanted.has(step)),
          failures: kept(lane.failures, isShown),
          drawing: lane.drawing !== null && isShown(lane.drawing.step) ? lane.drawing : null,
          waiting: new Set([...(lane.waiting ?? [])].filter(isShown)),
        };
      });
      return { ...group, lanes: lanes.filter((lane) => stepsOf([lane]).length > 0) };
    })
    .filter(({ lanes }) => lanes.length > 0);
  const steps = stepsOf(groups.flatMap(({ lanes }) => lanes));
  const base = steps.filter((step) => step === 0);
  const trained = steps.filter((step) => step !== 0);
  return {
    ...gallery,
    groups,
    steps: [...base, ...(filter.newestFirst ? trained.reverse() : trained)],
  };
}

function kept<Value>(
  map: Map<number, Value>,
  keep: (step: number, value: Value) => boolean,
): Map<number, Value> {
  return new Map([...map].filter(([step, value]) => keep(step, value)));
}
