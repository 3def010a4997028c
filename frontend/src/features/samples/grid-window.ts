/**
 * Which part of the grid is in sight.
 *
 * Fifty prompts at ten steps are five hundred pictures, ten at two hundred two thousand: only what
 * is in the window, and a little around it, is on the page, so memory does not grow with the job.
 * Every height is known beforehand (a picture's from its recipe), so nothing jumps while it loads.
 */

import { type RefObject, useCallback, useEffect, useLayoutEffect, useState } from "react";
import type { Sample } from "@/api/types";
import wide from "@/components/ui/wide.module.css";
import type { Group, Lane } from "./gallery-model";
import classes from "./sample-grid.module.css";

export const GAP_PX = 10;
const GROUP_GAP_PX = 22;
const PROMPT_PX = 54;
const LABEL_PX = 26;
/** Beyond the window on each side, so that a turn of the wheel finds pictures and not frames. */
const AROUND_PX = 320;
/** Until what is around is asked for: the pictures in sight have been by then. */
const AROUND_AFTER_MS = 400;

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
  // Not rounded: whole cells fill the width to its end, with no sliver of another beside the base's.
  return (width - (shown - 1) * GAP_PX) / shown;
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
      const cellHeight = Math.round(width * shapeOf(lane.unlike?.own ?? group.like));
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
function shapeOf(like: Sample | null): number {
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
  /** How far beyond it things are on the page already. */
  around: number;
}

/** Where nothing is laid out, as in a document that never paints. */
const UNSEEN = { width: 1200, height: 800 };
/**
 * What will be in sight, told before the grid is there: the newest columns. Their pictures are asked
 * for in the first drawing already, and those of the first columns, which are to be scrolled away at
 * once, never. Of the right width the cells need no second drawing either, so it is measured where
 * the grid is going to stand.
 */
export function expectedSight(columns: number, size: CellSize, isTall: boolean): Sight {
  const width = expectedWidth(isTall);
  const total = columns * (cellWidth(width, columns, size) + GAP_PX) - GAP_PX;
  const left = Math.max(0, total - width);
  return { top: 0, left, width, height: window.innerHeight, around: 0 };
}

function expectedWidth(isTall: boolean): number {
  const page = document.getElementById("content");
  const place = document.createElement("div");
  const grid = document.createElement("div");
  place.className = isTall ? (wide.wide ?? "") : "";
  grid.className = classes.expected ?? "";
  place.append(grid);
  page?.append(place);
  const width = grid.clientWidth;
  place.remove();
  return width || UNSEEN.width;
}

export function lanesInSight(lanes: PlacedLane[], sight: Sight): [number, number] {
  const place = (index: number) => {
    const lane = lanes[index] as PlacedLane;
    return { start: lane.top, end: lane.top + lane.height };
  };
  const { top, height, around } = sight;
  return touched(lanes.length, place, top - around, top + height + around);
}

/** `covered`: so much of the left is behind the base model's column. */
export function columnsInSight(
  columns: number,
  width: number,
  sight: Sight,
  covered: number,
): [number, number] {
  const place = (index: number) => {
    const start = index * (width + GAP_PX);
    return { start, end: start + width + GAP_PX };
  };
  const { left, width: seen, around } = sight;
  return touched(columns, place, left + covered - around, left + seen + around);
}

/**
 * What a scrolling element shows, followed while it scrolls and is resized, null at first; and a
 * function that looks at once, for whoever has just scrolled it. What is around is left out at
 * first, so that the pictures in sight are drawn and fetched before any other.
 */
export function useSight(element: RefObject<HTMLElement | null>): [Sight | null, () => void] {
  const [seen, setSeen] = useState<Omit<Sight, "around"> | null>(null);
  const around = useAround();
  const look = useCallback(() => {
    const scroller = element.current;
    if (scroller === null) {
      return;
    }
    const width = scroller.clientWidth || UNSEEN.width;
    const height = scroller.clientHeight || UNSEEN.height;
    const next = { top: scroller.scrollTop, left: scroller.scrollLeft, width, height };
    setSeen((before) =>
      before !== null &&
      (Object.keys(next) as (keyof typeof next)[]).every((key) => before[key] === next[key])
        ? before
        : next,
    );
  }, [element]);
  useLayoutEffect(() => {
    const scroller = element.current;
    if (scroller === null) {
      return;
    }
    let frame = 0;
    const later = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look();
      });
    };
    const observer = new ResizeObserver(later);
    observer.observe(scroller);
    scroller.addEventListener("scroll", later, { passive: true });
    return () => {
      cancelAnimationFrame(frame);
      observer.disconnect();
      scroller.removeEventListener("scroll", later);
    };
  }, [element, look]);
  return [seen && { ...seen, around }, look];
}

/** Nothing while the page is busy with its first pictures. */
function useAround(): number {
  const [around, setAround] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setAround(AROUND_PX), AROUND_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return around;
}
