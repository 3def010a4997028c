/**
 * What the newest samples say of the LoRA, from how far they are from the base model's pictures of
 * the same prompt and seed. The probe of training-advice.ts has the last word where it has measured.
 *
 * changes nothing   no sample with the trigger is farther than one that nothing changes would be
 * overwrites base   those without the trigger have moved, and about as far as those with it
 *
 * Neither is said early: the guides give 800 steps at least for any kind of LoRA, and from a quarter
 * of that on the tiny model's LoRAs could be told apart. How far they were: docs/watching-a-run.md.
 */

import type { Checkpoint, FineContrast, Measurement } from "@/api/types";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import { type Advice, percent, SHARE_OF_STEPS_DONE } from "./training-advice";

const FEWEST_STEPS = 200;
/** Of the way from black to white. Prompts that preservation kept moved by 0.01 to 0.03. */
const HARDLY_ANY_DISTANCE = 0.02;
/** Twice what preservation let pass; the nearest that was overwritten was at 0.08. */
const MUCH_DISTANCE = 0.05;
/** At least 0.9 where the LoRA changed everything, at most 0.26 where it did not. */
const ABOUT_AS_FAR = 0.75;

interface Findings {
  samples: FineContrast["samples"];
  measurements: Measurement[];
  checkpoints: Checkpoint[];
  totalSteps: number | null;
}

export function distanceAdvice(findings: Findings): Advice[] {
  const { samples, totalSteps } = findings;
  const step = samples[0]?.step ?? 0;
  if (step < Math.max(FEWEST_STEPS, SHARE_OF_STEPS_DONE * (totalSteps ?? 0))) {
    return [];
  }
  return [changesNothing(step, findings), overwritesBase(step, findings)].filter(
    (advice) => advice !== null,
  );
}

function changesNothing(
  step: number,
  { samples, measurements, checkpoints }: Findings,
): Advice | null {
  const probed = measurements.some((each) => each.step > 0 && each.change_with_trigger !== null);
  // Without a trigger word the LoRA is to show in every prompt.
  const concerned = samples.filter(({ with_trigger }) => with_trigger !== false);
  const farthest = Math.max(...distances(concerned));
  if (probed || concerned.length === 0 || farthest >= HARDLY_ANY_DISTANCE) {
    return null;
  }
  const { advice: words } = text;
  const says = concerned[0]?.with_trigger ? words.samplesHardlyMove : words.noSampleMoves;
  const norm = checkpoints
    .filter((each) => each.step <= step && each.lora_norm !== null)
    .reduce<Checkpoint | null>((last, each) => (last && last.step > each.step ? last : each), null);
  const message = says(percent(farthest), formatCount(step));
  return {
    key: "changesNothing",
    message:
      norm === null
        ? message
        : `${message} ${words.deltaNorm(formatLoss(norm.lora_norm), formatCount(norm.step))}`,
    cure: words.changesNothingCure,
  };
}

function overwritesBase(step: number, { samples, measurements }: Findings): Advice | null {
  const probed = measurements.some((each) => each.step > 0 && each.drift_without_trigger !== null);
  const called = distances(samples.filter(({ with_trigger }) => with_trigger === true));
  const others = distances(samples.filter(({ with_trigger }) => with_trigger === false));
  if (probed || called.length === 0 || others.length === 0) {
    return null;
  }
  const [withTrigger, without] = [mean(called), mean(others)];
  if (without < MUCH_DISTANCE || without < ABOUT_AS_FAR * withTrigger) {
    return null;
  }
  return {
    key: "overwritesBase",
    message: text.advice.samplesAllMove(percent(without), percent(withTrigger), formatCount(step)),
    cure: text.advice.overwritesBaseCure,
  };
}

function distances(samples: FineContrast["samples"]): number[] {
  return samples.map(({ distance_from_base }) => distance_from_base);
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
