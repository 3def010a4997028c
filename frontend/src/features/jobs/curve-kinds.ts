/** What can be drawn of a training, which of it a job has, and why it lacks the rest. */

import type { Measurement, Metric } from "@/api/types";
import { text } from "@/messages";

interface Kind {
  key: string;
  label: string;
  /** What shares an axis. */
  scale: "loss" | "change" | "learning_rate" | "gradient_norm" | "step_seconds";
  /** A CSS variable. */
  colour: string;
  /** Steps come one by one; measurements now and then, so that each is a dot. */
  source: "step" | "measurement";
}

export const kinds = [
  { key: "loss", label: text.curve.loss, scale: "loss", colour: "--curve-loss", source: "step" },
  {
    key: "smoothed",
    label: text.curve.smoothed,
    scale: "loss",
    colour: "--curve-smoothed",
    source: "step",
  },
  {
    key: "validation_loss",
    label: text.curve.validation,
    scale: "loss",
    colour: "--curve-validation",
    source: "measurement",
  },
  {
    key: "preservation_loss",
    label: text.curve.preservation,
    scale: "loss",
    colour: "--curve-preservation",
    source: "step",
  },
  {
    key: "objective",
    label: text.curve.objective,
    scale: "loss",
    colour: "--curve-objective",
    source: "step",
  },
  {
    key: "change_with_trigger",
    label: text.curve.withTrigger,
    scale: "change",
    colour: "--curve-with",
    source: "measurement",
  },
  {
    key: "drift_without_trigger",
    label: text.curve.withoutTrigger,
    scale: "change",
    colour: "--curve-without",
    source: "measurement",
  },
  {
    key: "learning_rate",
    label: text.curve.learningRate,
    scale: "learning_rate",
    colour: "--curve-rate",
    source: "step",
  },
  {
    key: "gradient_norm",
    label: text.curve.gradientNorm,
    scale: "gradient_norm",
    colour: "--curve-norm",
    source: "step",
  },
  {
    key: "step_seconds",
    label: text.curve.stepTime,
    scale: "step_seconds",
    colour: "--curve-time",
    source: "step",
  },
] as const satisfies readonly Kind[];

export type CurveKind = (typeof kinds)[number];
export type KindKey = CurveKind["key"];

export const KINDS_AT_FIRST: KindKey[] = [
  "loss",
  "smoothed",
  "validation_loss",
  "preservation_loss",
];

/** The axis of each group besides the loss, which has the left one. */
export const otherScales = ["change", "learning_rate", "gradient_norm", "step_seconds"] as const;

/** Why a kind may be missing: what would have to be turned on. */
const reasons: Partial<Record<KindKey, string>> = {
  validation_loss: text.curve.noValidation,
  preservation_loss: text.curve.noPreservation,
  objective: text.curve.noObjective,
  change_with_trigger: text.curve.noProbe,
  drift_without_trigger: text.curve.noProbe,
};

/** The kinds that have a value to draw, and the reason for each group of those that have none. */
export function offeredKinds(
  metrics: Metric[],
  measurements: Measurement[],
): { offered: CurveKind[]; missing: string[] } {
  const offered = kinds.filter((kind) => isThere(kind, metrics, measurements));
  const missing = kinds.flatMap((kind) =>
    offered.includes(kind) ? [] : (reasons[kind.key] ?? []),
  );
  return { offered, missing: [...new Set(missing)] };
}

function isThere(kind: CurveKind, metrics: Metric[], measurements: Measurement[]): boolean {
  if (kind.key === "smoothed") {
    return true;
  }
  if (kind.key === "objective") {
    // Where nothing is added or weighed, it is the loss: a second line on top of the first.
    return metrics.some(
      ({ loss, objective }) => Math.abs(objective - loss) > 1e-6 * Math.abs(loss),
    );
  }
  return kind.source === "measurement"
    ? measurements.some((point) => point[kind.key] !== null)
    : metrics.some((point) => point[kind.key] !== null);
}
