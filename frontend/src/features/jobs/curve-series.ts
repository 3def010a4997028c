import type { Metric } from "@/api/types";
import { text } from "@/messages";

/** What a step has that a curve can show. `scale` groups what shares an axis. */
export const series = [
  { key: "loss", label: text.curve.loss, scale: "loss", colour: "--curve-loss" },
  { key: "smoothed", label: text.curve.smoothed, scale: "loss", colour: "--curve-smoothed" },
  {
    key: "preservation_loss",
    label: text.curve.preservation,
    scale: "loss",
    colour: "--curve-preservation",
  },
  {
    key: "learning_rate",
    label: text.curve.learningRate,
    scale: "learning_rate",
    colour: "--curve-rate",
  },
  {
    key: "gradient_norm",
    label: text.curve.gradientNorm,
    scale: "gradient_norm",
    colour: "--curve-norm",
  },
  {
    key: "step_seconds",
    label: text.curve.stepTime,
    scale: "step_seconds",
    colour: "--curve-time",
  },
] as const;

export type SeriesKey = (typeof series)[number]["key"];

/** The axis of each group besides the loss, which has the left one. */
export const otherScales = ["learning_rate", "gradient_norm", "step_seconds"] as const;

/**
 * Exponential moving average, started without a pull towards its first value: each value is the
 * weighted mean of all up to it, with weights that fall by `decay` a step back.
 */
export function smoothed(values: (number | null)[], decay: number): (number | null)[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) {
      return null;
    }
    sum = decay * sum + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    return sum / weight;
  });
}

/** The columns that uPlot draws: steps first, then every series in the order above. */
export function curveColumns(metrics: Metric[], decay: number): (number | null)[][] {
  const losses = metrics.map((metric) => metric.loss);
  return [
    metrics.map((metric) => metric.step),
    ...series.map(({ key }) =>
      key === "smoothed" ? smoothed(losses, decay) : metrics.map((metric) => metric[key]),
    ),
  ];
}
