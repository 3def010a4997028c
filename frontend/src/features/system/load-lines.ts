/** Samples of the machine as lines over the last minutes, broken where nobody looked. */

import type { LoadSample } from "@/api/types";

export interface ChartPoint {
  at: string;
  /** 0 at the beginning of the span, 1 at the newest sample. */
  place: number;
  /** Of the whole, 0 to 1. */
  share: number;
}

/** As long without a sample is a gap: the server was away, or the worker. */
const INTERVALS_OF_A_GAP = 3.5;

const SHORTEST_SPAN_MINUTES = 2;
const LONGEST_SPAN_MINUTES = 15;

/** As long as there are samples, in whole minutes; a server just started has few. */
export function spanOf(samples: LoadSample[]): number {
  const [oldest, newest] = [samples[0], samples.at(-1)];
  if (oldest === undefined || newest === undefined) {
    return SHORTEST_SPAN_MINUTES;
  }
  const minutes = Math.ceil((Date.parse(newest.at) - Date.parse(oldest.at)) / 60_000);
  return Math.min(Math.max(minutes, SHORTEST_SPAN_MINUTES), LONGEST_SPAN_MINUTES);
}

export function linesOf(
  samples: LoadSample[],
  intervalSeconds: number,
  spanMinutes: number,
  shareOf: (sample: LoadSample) => number | null,
): ChartPoint[][] {
  const newest = samples.at(-1);
  if (newest === undefined) {
    return [];
  }
  const spanMs = spanMinutes * 60_000;
  const start = Date.parse(newest.at) - spanMs;
  const lines: ChartPoint[][] = [];
  let before: number | null = null;
  for (const sample of samples) {
    const moment = Date.parse(sample.at);
    const share = shareOf(sample);
    if (share === null || moment < start) {
      before = null;
      continue;
    }
    const follows =
      before !== null && moment - before <= INTERVALS_OF_A_GAP * intervalSeconds * 1000;
    const point = { at: sample.at, place: (moment - start) / spanMs, share };
    const line = lines.at(-1);
    if (follows && line !== undefined) {
      line.push(point);
    } else {
      lines.push([point]);
    }
    before = moment;
  }
  return lines;
}
