/**
 * What the measurements of a run say of the LoRA, as rules: each a finding and a cure.
 *
 * changes nothing   a quarter of the steps are done, and the answer on captions has hardly moved
 * overwrites base   without the trigger the answer moves more than counts as preserved, and at least
 *                   half as much as with it
 * past its best     validation was lowest some measurements ago, and is clearly above that now
 *
 * What the samples say stands in distance-advice.ts and ringing-advice.ts.
 *
 * The probe and validation measure at fixed noise, so that a few points are enough to judge.
 */

import type { Measurement } from "@/api/types";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";

export interface Advice {
  key: "changesNothing" | "overwritesBase" | "pastItsBest" | "rings";
  message: string;
  cure: string;
}

/** Of the answer's own size. */
const HARDLY_ANY_CHANGE = 0.01;
/** The default of Drift Limit: a tenth of the base model's answer. */
const MUCH_DRIFT = 0.1;
const DRIFT_OF_CHANGE = 0.5;
export const SHARE_OF_STEPS_DONE = 0.25;
const FEWEST_STEPS = 100;
const MEASUREMENTS_SINCE_BEST = 3;
const ABOVE_BEST = 1.05;

export function adviceFor(measurements: Measurement[], totalSteps: number | null): Advice[] {
  const { advice: words } = text;
  const found: Advice[] = [];
  const probe = measurements.findLast(({ change_with_trigger }) => change_with_trigger !== null);
  const change = probe?.change_with_trigger ?? null;
  const drift = probe?.drift_without_trigger ?? null;
  if (probe !== undefined && change !== null) {
    const enough = Math.max(FEWEST_STEPS, SHARE_OF_STEPS_DONE * (totalSteps ?? 0));
    if (probe.step >= enough && change < HARDLY_ANY_CHANGE) {
      found.push({
        key: "changesNothing",
        message: words.changesNothing(percent(change), formatCount(probe.step)),
        cure: words.changesNothingCure,
      });
    }
    if (drift !== null && drift > MUCH_DRIFT && drift >= DRIFT_OF_CHANGE * change) {
      found.push({
        key: "overwritesBase",
        message: words.overwritesBase(percent(drift), percent(change)),
        cure: words.overwritesBaseCure,
      });
    }
  }
  const past = pastItsBest(measurements);
  return past === null ? found : [...found, past];
}

function pastItsBest(measurements: Measurement[]): Advice | null {
  const measured = measurements.flatMap(({ step, validation_loss: loss }) =>
    loss === null ? [] : [{ step, loss }],
  );
  const last = measured.at(-1);
  if (last === undefined) {
    return null;
  }
  const best = measured.reduce((one, other) => (other.loss < one.loss ? other : one));
  const since = measured.length - 1 - measured.indexOf(best);
  if (since < MEASUREMENTS_SINCE_BEST || last.loss < ABOVE_BEST * best.loss) {
    return null;
  }
  return {
    key: "pastItsBest",
    message: text.advice.pastItsBest(
      formatLoss(best.loss),
      formatCount(best.step),
      formatLoss(last.loss),
    ),
    cure: text.advice.pastItsBestCure,
  };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
