/** What a phase is made of, in four groups that a bar can show. */

import type { PlanPhase } from "@/api/types";

export type PartGroup = "weights" | "state" | "passing" | "other";

export const GROUPS: PartGroup[] = ["weights", "state", "passing", "other"];

// A key that is new to the plan is drawn among the others until it has a group.
const groupOfKey: Record<string, PartGroup> = {
  weights: "weights",
  slots: "weights",
  streamed: "weights",
  away: "weights",
  autoencoder: "weights",
  autoencoder_waiting: "weights",
  text_encoder: "weights",
  embedding: "weights",
  lora: "state",
  gradients: "state",
  optimizer: "state",
  average: "state",
  aside: "state",
  state: "state",
  encoder: "passing",
  pass: "passing",
  tensor: "passing",
  step: "passing",
  inputs: "passing",
  kept_inputs: "passing",
  inside: "passing",
  backward: "passing",
  batch: "passing",
  forward: "passing",
  decoder: "passing",
};

export function groupOf(key: string): PartGroup {
  return groupOfKey[key] ?? "other";
}

/** Bytes of each group in one place, in the order of the bar; empty groups are left out. */
export function stacked(
  phase: PlanPhase,
  place: "vram" | "ram",
): { group: PartGroup; bytes: number }[] {
  return GROUPS.map((group) => ({
    group,
    bytes: phase.parts
      .filter((part) => part.place === place && groupOf(part.key) === group)
      .reduce((sum, part) => sum + part.num_bytes, 0),
  })).filter(({ bytes }) => bytes > 0);
}
