/** From steps and measurements of one or several jobs to lines over one common row of steps. */

import type { Checkpoint, Measurement, Metric, Sample } from "@/api/types";
import type { CurveKind } from "./curve-kinds";

/** One job's numbers. The first source of a drawing is the page's own job, the others lie over it. */
export interface CurveSource {
  jobId: number;
  /** The numbers are this run's own; those of all runs without it. */
  run?: number;
  name: string;
  metrics: Metric[];
  /** The steps in sight, where `metrics` is thinned out. */
  closer?: Metric[];
  measurements: Measurement[];
}

export interface CurveLine {
  id: string;
  kind: CurveKind;
  /** Place of its job among the sources. */
  source: number;
  label: string;
  /** One for each of the drawing's steps. */
  values: (number | null)[];
}

export interface CurveDrawing {
  steps: number[];
  lines: CurveLine[];
}

/** A curve that is longer is smoothed over the same share of itself as one of so many steps. */
const STEPS_OF_DECAY = 1000;

export interface CurveMark {
  step: number;
  kind: "checkpoint" | "best" | "sample";
}

/**
 * Lines of these kinds for every source. `decay` is that of a step, over a thousand of them; over more
 * it is stretched to the longest source's length, for all sources alike.
 */
export function curveDrawing(told: CurveSource[], shown: CurveKind[], decay: number): CurveDrawing {
  const sources = told.map((source) => ({ ...source, metrics: withCloser(source) }));
  const steps = [
    ...new Set(
      sources.flatMap(({ metrics, measurements }) => [
        ...metrics.map(({ step }) => step),
        ...measurements.map(({ step }) => step),
      ]),
    ),
  ].sort((one, other) => one - other);
  const length = (steps.at(-1) ?? 0) - (steps[0] ?? 0);
  const ofStep = decay ** Math.min(1, STEPS_OF_DECAY / Math.max(1, length));
  const places = new Map(steps.map((step, place) => [step, place]));
  const lines = sources.flatMap((source, index) =>
    shown.map((kind) => {
      const values: (number | null)[] = new Array(steps.length).fill(null);
      for (const [step, value] of pointsOf(source, kind, ofStep)) {
        values[places.get(step) as number] = value;
      }
      const label = index === 0 ? kind.label : `${kind.label}, ${source.name}`;
      return { id: `${index} ${kind.key} ${label}`, kind, source: index, label, values };
    }),
  );
  return { steps, lines: lines.filter(({ values }) => values.some((value) => value !== null)) };
}

/** All steps that are known, those that were looked at closely among them. */
function withCloser({ metrics, closer = [] }: CurveSource): Metric[] {
  const first = closer[0];
  const last = closer[closer.length - 1];
  if (first === undefined || last === undefined) {
    return metrics;
  }
  return [
    ...metrics.filter(({ step }) => step < first.step),
    ...closer,
    ...metrics.filter(({ step }) => step > last.step),
  ];
}

function pointsOf(
  { metrics, measurements }: CurveSource,
  kind: CurveKind,
  decay: number,
): [number, number | null][] {
  if (kind.source === "measurement") {
    return measurements.map((point) => [point.step, point[kind.key]]);
  }
  if (kind.key === "smoothed") {
    return smoothed(
      metrics.map(({ step, loss }) => [step, loss]),
      decay,
    );
  }
  return metrics.map((point) => [point.step, point[kind.key]]);
}

/**
 * Exponential moving average, started without a pull towards its first value: each value is the
 * weighted mean of all up to it, with weights that fall by `decay` a step back. A value stands for
 * the steps since the one before it, so that a curve which the server thinned out is smoothed over as
 * many steps as the whole.
 */
export function smoothed(
  points: [step: number, value: number | null][],
  decay: number,
): [step: number, value: number | null][] {
  let sum = 0;
  let weight = 0;
  let before: number | null = null;
  return points.map(([step, value]) => {
    if (value === null || !Number.isFinite(value)) {
      return [step, null];
    }
    const kept = decay ** (before === null ? 1 : step - before);
    before = step;
    sum = kept * sum + (1 - kept) * value;
    weight = kept * weight + (1 - kept);
    return [step, sum / weight];
  });
}

/** What lies on the axis: each checkpoint, and each step of which there are pictures. */
export function curveMarks(checkpoints: Checkpoint[], samples: Sample[]): CurveMark[] {
  const sampled = [...new Set(samples.map(({ step }) => step))];
  const saved = checkpoints
    .filter(({ is_final }) => !is_final)
    .map(({ step, is_best }) => ({
      step,
      kind: is_best ? ("best" as const) : ("checkpoint" as const),
    }));
  return [...sampled.map((step) => ({ step, kind: "sample" as const })), ...saved];
}

/** The last value of a line and where it is. */
export function lastOf(line: CurveLine, steps: number[]): { step: number; value: number } | null {
  for (let place = line.values.length - 1; place >= 0; place -= 1) {
    const value = line.values[place];
    const step = steps[place];
    if (value !== null && value !== undefined && step !== undefined) {
      return { step, value };
    }
  }
  return null;
}
