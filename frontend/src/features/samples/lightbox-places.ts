import type { Sample } from "@/api/types";
import type { Gallery, Lane } from "./gallery-model";
import type { Place } from "./grid-keys";

export function laneAt(gallery: Gallery, place: Place): Lane | undefined {
  return lanesOf(gallery).find((lane) => lane.key === place.lane);
}

export function sampleAt(gallery: Gallery, place: Place | undefined): Sample | undefined {
  return place === undefined ? undefined : laneAt(gallery, place)?.byStep.get(place.step);
}

/** The base model's picture of the same prompt; of another job's lane if its own has none. */
export function baseOf(gallery: Gallery, place: Place): Sample | undefined {
  const group = gallery.groups.find(({ lanes }) => lanes.some(({ key }) => key === place.lane));
  const own = laneAt(gallery, place)?.byStep.get(0);
  return own ?? group?.lanes.map((lane) => lane.byStep.get(0)).find((sample) => sample);
}

export interface Moves {
  left?: Place | undefined;
  right?: Place | undefined;
  up?: Place | undefined;
  down?: Place | undefined;
}

/** The nearest drawn pictures around a place. */
export function movesFrom(gallery: Gallery, place: Place): Moves {
  const lanes = lanesOf(gallery);
  const row = lanes.findIndex((lane) => lane.key === place.lane);
  const drawn = gallery.steps.filter((step) => lanes[row]?.byStep.has(step));
  const at = drawn.indexOf(place.step);
  const toStep = (step: number | undefined) =>
    step === undefined ? undefined : { lane: place.lane, step };
  const toLane = (candidates: Lane[]) => {
    const target = candidates.find((lane) => lane.byStep.has(place.step));
    return target === undefined ? undefined : { lane: target.key, step: place.step };
  };
  return {
    left: at < 0 ? undefined : toStep(drawn[at - 1]),
    right: at < 0 ? undefined : toStep(drawn[at + 1]),
    up: toLane(lanes.slice(0, Math.max(0, row)).reverse()),
    down: toLane(lanes.slice(row + 1)),
  };
}

function lanesOf(gallery: Gallery): Lane[] {
  return gallery.groups.flatMap(({ lanes }) => lanes);
}
