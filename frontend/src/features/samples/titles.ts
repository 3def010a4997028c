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

/** Which job or branch a lane is, where that is not plain, and what sets its recipe apart. */
export function laneTitle(lane: Lane, severalJobs: boolean): string {
  const parts = [
    severalJobs ? lane.jobName : "",
    lane.supersededBy === null ? "" : text.samples.setAside(lane.supersededBy),
    ...(lane.unlike === undefined ? [] : differences(lane.unlike.own, lane.unlike.groups)),
  ];
  const [first = "", ...rest] = parts.filter(Boolean);
  return [first, ...rest.map((part) => part.toLowerCase())].join(", ");
}

/** What a picture was drawn with that another of the same words and seed was not. */
function differences(own: Sample, other: Sample): string[] {
  const facts: [(sample: Sample) => unknown, string][] = [
    [
      ({ width, height }) => `${width} × ${height}`,
      `${text.samples.size_} ${own.width} × ${own.height}`,
    ],
    [({ guidance_scale }) => guidance_scale, `${text.samples.guidance} ${own.guidance_scale}`],
    [({ sample_steps }) => sample_steps, `${text.samples.sampleSteps} ${own.sample_steps}`],
    [({ lora_strength }) => lora_strength ?? 1, text.samples.strength(own.lora_strength ?? 1)],
    [({ negative_prompt }) => negative_prompt ?? "", text.samples.otherNegativePrompt],
    [({ control_images }) => control_images.join("\n"), text.samples.otherReferences],
  ];
  return facts.filter(([of]) => of(own) !== of(other)).map(([, said]) => said);
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
