import type { Sample } from "@/api/types";
import type { Gallery, Lane } from "./gallery-model";
import type { Place } from "./grid-keys";

export function laneAt(gallery: Gallery, place: Place): Lane | undefined {
  return lanesOf(gallery).find((lane) => lane.key === place.lane);
}

export function sampleAt(gallery: Gallery, place: Place | undefined): Sample | undefined {
  return place === undefined ? undefined : laneAt(gallery, place)?.byStep.get(place.step);
}

/** Where the base model's picture of the same prompt is; another job's lane if its own has none. */
export function baseOf(gallery: Gallery, place: Place): Place | undefined {
  const group = gallery.groups.find(({ lanes }) => lanes.some(({ key }) => key === place.lane));
  const own = laneAt(gallery, place);
  const lane = [own, ...(group?.lanes ?? [])].find((one) => one?.byStep.has(0));
  return lane && { lane: lane.key, step: 0 };
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
  if (row < 0) {
    return {};
  }
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
    up: toLane(lanes.slice(0, row).reverse()),
    down: toLane(lanes.slice(row + 1)),
  };
}

/** A picture that was looked at, and what was around it. */
export interface Seen {
  sample: Sample;
  moves: Moves;
}

/** What takes the place of a picture that is left: a neighbour that is there. */
export function neighbourOf(gallery: Gallery, { left, right, up, down }: Moves): Place | undefined {
  return [left, right, up, down].find((place) => sampleAt(gallery, place) !== undefined);
}

/**
 * Where to look when a picture is no longer at its place: where it stands now, as one does that a
 * resume set aside, or at a neighbour, as of one that is no longer starred or was deleted elsewhere.
 */
export function placeAfter(gallery: Gallery, { sample, moves }: Seen): Place | undefined {
  for (const lane of lanesOf(gallery)) {
    for (const [step, { id }] of lane.byStep) {
      if (id === sample.id) {
        return { lane: lane.key, step };
      }
    }
  }
  return neighbourOf(gallery, moves);
}

function lanesOf(gallery: Gallery): Lane[] {
  return gallery.groups.flatMap(({ lanes }) => lanes);
}
