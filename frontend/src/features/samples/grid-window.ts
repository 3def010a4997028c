/**
 * Which part of the grid is in sight.
 *
 * Fifty prompts at ten steps are five hundred pictures, ten at two hundred two thousand: only what
 * is in the window, and a little around it, is on the page, so memory does not grow with the job.
 * Every height is known beforehand (a picture's from its recipe), so nothing jumps while it loads.
 */

import { type RefObject, useLayoutEffect, useState } from "react";
import type { Group, Lane } from "./gallery-model";

export const GAP_PX = 10;
const GROUP_GAP_PX = 22;
const PROMPT_PX = 54;
const LABEL_PX = 26;
/** Beyond the window on each side, so that a turn of the wheel finds pictures and not frames. */
const AROUND_PX = 320;
/** Where nothing is laid out, as in a document that never paints. */
const UNSEEN = { width: 1200, height: 800 };

export type CellSize = "small" | "medium" | "large";
const TARGET_PX: Record<CellSize, number> = { small: 118, medium: 178, large: 300 };

export interface PlacedLane {
  lane: Lane;
  group: Group;
  /** Whether the prompt stands above it. */
  isFirst: boolean;
  /** Whether it says which job or branch it is. */
  hasLabel: boolean;
  top: number;
  promptHeight: number;
  labelHeight: number;
  cellHeight: number;
  height: number;
}

export function cellWidth(width: number, columns: number, size: CellSize): number {
  const fit = Math.max(2, Math.floor((width + GAP_PX) / (TARGET_PX[size] + GAP_PX)));
  // Few columns may be wider, but not without end.
  const shown = Math.max(Math.min(fit, columns), Math.min(fit, 4));
  // To the hundredth: whole pixels would leave a few, in which an edge of one more column shows.
  return Math.floor((100 * (width - (shown - 1) * GAP_PX)) / shown) / 100;
}

export function placeLanes(groups: Group[], width: number): PlacedLane[] {
  const severalJobs = new Set(groups.flatMap(({ lanes }) => lanes.map((l) => l.jobId))).size > 1;
  const placed: PlacedLane[] = [];
  let top = 0;
  for (const group of groups) {
    group.lanes.forEach((lane, index) => {
      const isFirst = index === 0;
      const hasLabel = severalJobs || lane.supersededBy !== null;
      const promptHeight = isFirst ? PROMPT_PX : 0;
      const labelHeight = hasLabel ? LABEL_PX : 0;
      const cellHeight = Math.round(width * shapeOf(group));
      const gap = index === group.lanes.length - 1 ? GROUP_GAP_PX : GAP_PX;
      const height = promptHeight + labelHeight + cellHeight + gap;
      const sizes = { promptHeight, labelHeight, cellHeight, height };
      placed.push({ lane, group, isFirst, hasLabel, top, ...sizes });
      top += height;
    });
  }
  return placed;
}

/** Height over width; the outermost formats are cut, not shown whole. */
function shapeOf({ like }: Group): number {
  return like === null ? 1 : Math.min(2, Math.max(0.5, like.height / like.width));
}

/** First and one past the last of items at ascending places that a stretch of pixels touches. */
export function touched(
  count: number,
  place: (index: number) => { start: number; end: number },
  from: number,
  to: number,
): [number, number] {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (place(middle).end <= from) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  let end = low;
  while (end < count && place(end).start < to) {
    end += 1;
  }
  return [low, end];
}

export interface Sight {
  top: number;
  left: number;
  width: number;
  height: number;
}

export function lanesInSight(lanes: PlacedLane[], sight: Sight): [number, number] {
  const place = (index: number) => {
    const lane = lanes[index] as PlacedLane;
    return { start: lane.top, end: lane.top + lane.height };
  };
  return touched(lanes.length, place, sight.top - AROUND_PX, sight.top + sight.height + AROUND_PX);
}

export function columnsInSight(columns: number, width: number, sight: Sight): [number, number] {
  const place = (index: number) => {
    const start = index * (width + GAP_PX);
    return { start, end: start + width + GAP_PX };
  };
  return touched(columns, place, sight.left - AROUND_PX, sight.left + sight.width + AROUND_PX);
}

/** What a scrolling element shows, followed while it scrolls and is resized. */
export function useSight(element: RefObject<HTMLElement | null>): Sight {
  const [sight, setSight] = useState<Sight>({ top: 0, left: 0, ...UNSEEN });
  useLayoutEffect(() => {
    const scroller = element.current;
    if (scroller === null) {
      return;
    }
    let frame = 0;
    const look = () => {
      frame = 0;
      const width = scroller.clientWidth || UNSEEN.width;
      const height = scroller.clientHeight || UNSEEN.height;
      const next = { top: scroller.scrollTop, left: scroller.scrollLeft, width, height };
      setSight((before) =>
        (Object.keys(next) as (keyof Sight)[]).every((key) => before[key] === next[key])
          ? before
          : next,
      );
    };
    const later = () => {
      frame ||= requestAnimationFrame(look);
    };
    look();
    const observer = new ResizeObserver(later);
    observer.observe(scroller);
    scroller.addEventListener("scroll", later, { passive: true });
    return () => {
      cancelAnimationFrame(frame);
      observer.disconnect();
      scroller.removeEventListener("scroll", later);
    };
  }, [element]);
  return sight;
}
