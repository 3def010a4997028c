/** Zoomed in, every step: the server thins a long curve out to what a screen shows. */

import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { metricsInQuery } from "@/api/queries";
import type { Metric } from "@/api/types";
import type { StepRange } from "./curve-chart";
import type { CurveSource } from "./curve-drawing";

/** A slider that is being moved asks once, where it stops. */
const PAUSE_MS = 250;

/** The sources, each with the steps in sight as closely as they are known. */
export function useCloser(sources: CurveSource[], range: StepRange): CurveSource[] {
  const [settled] = useDebouncedValue(range, PAUSE_MS);
  const [from, to] = settled ?? [0, 0];
  const isClose = range !== null && settled !== null;
  const closer = useQueries({
    queries: sources.map(({ jobId, run, metrics }) => ({
      ...metricsInQuery(jobId, run, from, to),
      enabled: isClose && isThinned(metrics),
      placeholderData: keepPreviousData,
    })),
  });
  return sources.map((source, index) => ({
    ...source,
    closer: isClose ? closer[index]?.data : undefined,
  }));
}

function isThinned(metrics: Metric[]): boolean {
  const first = metrics[0];
  const last = metrics[metrics.length - 1];
  return first !== undefined && last !== undefined && metrics.length <= last.step - first.step;
}
