/**
 * Whether the samples ring, from how much fine contrast they have.
 *
 * A sample counts that has half as much again as the base model's picture of the same prompt and
 * seed, and as the finest of the training pictures. One such sample can be its prompt's fault; it is
 * said when at least half of them are so.
 */

import type { FineContrast, JobConfigValue } from "@/api/types";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import type { Advice } from "./training-advice";

const OVERSHOOT = 1.5;
const SHARE_OF_SAMPLES = 0.5;

export function ringingAdvice(
  { samples, training_pictures: trained }: FineContrast,
  config: JobConfigValue,
): Advice | null {
  if (trained === null || samples.length === 0) {
    return null;
  }
  const times = samples.map(({ sample, base }) => sample / Math.max(base, trained, Number.EPSILON));
  const ringing = times.filter((ratio) => ratio >= OVERSHOOT);
  if (ringing.length === 0 || ringing.length < SHARE_OF_SAMPLES * samples.length) {
    return null;
  }
  const { advice: words } = text;
  const advanced = (config.advanced ?? {}) as Record<string, unknown>;
  const scale = advanced.do_differential_guidance === true ? Number(advanced.scale) : 1;
  return {
    key: "rings",
    message: words.rings(
      ringing.length,
      samples.length,
      formatCount(samples[0]?.step),
      Math.min(...ringing).toFixed(1),
    ),
    cure: scale > 1 ? words.ringsCure(scale > 2 ? 2 : 1) : words.ringsUnguidedCure,
  };
}
