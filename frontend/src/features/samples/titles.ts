import type { Sample } from "@/api/types";
import { formatCount, joinFacts } from "@/lib/format";
import { text } from "@/messages";
import type { Gallery, Lane } from "./gallery-model";

export function stepTitle(step: number): string {
  return step === 0 ? text.samples.base : text.samples.step(formatCount(step));
}

/** A column by what it is: a training's step, or what a drawing calls it. */
export function columnTitle({ columns }: Pick<Gallery, "columns">, column: number): string {
  return columns?.get(column) ?? stepTitle(column);
}

/** Which job or branch a lane is, where that is not plain. */
export function laneTitle(lane: Lane, severalJobs: boolean): string {
  const parts = [
    severalJobs ? lane.jobName : "",
    lane.supersededBy === null ? "" : text.samples.setAside(lane.supersededBy),
  ];
  const [first = "", ...rest] = parts.filter(Boolean);
  return [first, ...rest.map((part) => part.toLowerCase())].join(", ");
}

/** The recipe in a line. */
export function recipeLine(sample: Sample): string {
  const strength = sample.lora_strength ?? 1;
  return joinFacts([
    `${text.samples.seed} ${sample.seed}`,
    `${sample.width} × ${sample.height}`,
    `${text.samples.guidance} ${sample.guidance_scale}`,
    ...(strength === 1 ? [] : [`${text.samples.loraStrength} ${strength}`]),
  ]);
}
