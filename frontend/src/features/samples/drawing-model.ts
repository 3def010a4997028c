/**
 * A drawing as the grid shows it: prompts down, and across what it was drawn to compare.
 *
 * A row of pictures differs in two things: the LoRA and its strength. One of them goes across, the
 * other makes the lanes of the prompt; so the columns are no steps of a training but numbered
 * variants, 0 being the base model's as everywhere, and `columns` has their names. The pictures of
 * the base model stand in every lane, to compare with.
 */

import type { WholeDrawing } from "@/api/types";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";
import { type Gallery, type Group, isTaken, type Lane } from "./gallery-model";
import type { PreviewPlace } from "./gallery-round";

export type Across = "strengths" | "loras";

/** What goes across unless one says otherwise: what there is more of. */
export function mostlyAcross(drawing: WholeDrawing): Across {
  return lorasOf(drawing).length > strengthsOf(drawing).length ? "loras" : "strengths";
}

export function galleryOfDrawing(
  drawing: WholeDrawing,
  preview: PreviewPlace | null | undefined,
  across: Across,
): Gallery {
  const strengths = strengthsOf(drawing);
  const loras = lorasOf(drawing);
  const groups = new Map<string, Group>();
  const places = drawing.pictures.map((picture) => {
    const isBase = picture.lora === null;
    const strength = strengths.indexOf(picture.lora_strength ?? 1);
    const lora = loras.indexOf(picture.lora ?? 0);
    const [column, row] = across === "strengths" ? [strength, lora] : [lora, strength];
    return { picture, column: isBase ? 0 : column + 1, row: isBase ? null : row };
  });
  const numLanes = across === "strengths" ? loras.length : strengths.length;
  for (const { picture, column, row } of places) {
    const group = groupFor(groups, drawing, picture.index, column, row, numLanes, (lane) =>
      across === "strengths"
        ? (drawing.loras[loras[lane] ?? 0]?.label ?? "")
        : text.samples.strength(strengths[lane] ?? 1),
    );
    const { sample } = picture;
    if (sample !== null) {
      // The line below the prompt tells what its pictures have in common.
      group.like ??= { ...sample, lora_strength: 1 };
    }
    for (const lane of row === null ? group.lanes : group.lanes.slice(row, row + 1)) {
      if (sample !== null) {
        lane.byStep.set(column, sample);
      } else if (picture.state === "failed") {
        lane.failures.set(column, {
          step: column,
          promptIndex: picture.index,
          prompt: picture.prompt,
          message: picture.message ?? "",
        });
      } else if (preview?.prompt_index === picture.index && ACTIVE.has(drawing.status)) {
        const { index: promptIndex, prompt } = picture;
        lane.drawing = { jobId: drawing.id, step: column, promptIndex, prompt };
      } else {
        lane.waiting = new Set([...(lane.waiting ?? []), column]);
      }
    }
  }
  const names =
    across === "strengths" ? strengths.map(text.samples.strength) : labels(drawing, loras);
  const hasBase = drawing.pictures.some(({ lora }) => lora === null);
  return {
    groups: [...groups.values()].map((group, index) => ({ ...group, number: index + 1 })),
    steps: [...(hasBase ? [0] : []), ...names.map((_, index) => index + 1)],
    columns: new Map([[0, text.samples.base], ...names.map((name, at) => [at + 1, name] as const)]),
    isComing: ACTIVE.has(drawing.status) || drawing.status === "queued",
    loras: new Map(
      drawing.pictures.flatMap(({ sample, lora_label }) =>
        sample === null || lora_label === null ? [] : [[sample.id, lora_label] as const],
      ),
    ),
  };
}

/** The row that the picture is one of; a second one where its place is taken by another already. */
function groupFor(
  groups: Map<string, Group>,
  drawing: WholeDrawing,
  index: number,
  column: number,
  row: number | null,
  numLanes: number,
  nameOf: (lane: number) => string,
): Group {
  const recipe = recipeOf(drawing, index);
  for (let copy = 0; ; copy += 1) {
    const key = `${copy} ${recipe}`;
    const known = groups.get(key);
    if (known === undefined) {
      const group: Group = {
        key,
        number: 0,
        like: null,
        prompt: drawing.pictures[index]?.prompt ?? "",
        lanes: Array.from({ length: Math.max(1, numLanes) }, (_, lane) =>
          emptyLane(`${key} ${lane}`, lane, numLanes > 0 ? nameOf(lane) : ""),
        ),
      };
      groups.set(key, group);
      return group;
    }
    const lane = known.lanes[row ?? 0];
    if (lane !== undefined && !isTaken(lane, column)) {
      return known;
    }
  }
}

function emptyLane(key: string, number: number, name: string): Lane {
  return {
    key,
    jobId: number,
    jobName: name,
    supersededBy: null,
    byStep: new Map(),
    failures: new Map(),
    drawing: null,
  };
}

/** Everything that a picture was asked for with, but for what the grid's places tell. */
function recipeOf({ config, pictures }: WholeDrawing, index: number): string {
  const asked = Array.isArray(config.pictures) ? (config.pictures[index] as object) : {};
  const { lora, lora_strength, ...others } = asked as Record<string, unknown>;
  return JSON.stringify([pictures[index]?.prompt, others]);
}

/** Places in the drawing's own list of LoRAs, of those that a picture is drawn with. */
export function lorasOf({ pictures }: WholeDrawing): number[] {
  return ascending(pictures.flatMap(({ lora }) => (lora === null ? [] : [lora])));
}

function strengthsOf({ pictures }: WholeDrawing): number[] {
  return ascending(
    pictures.flatMap(({ lora, lora_strength }) => (lora === null ? [] : [lora_strength ?? 1])),
  );
}

function labels(drawing: WholeDrawing, loras: number[]): string[] {
  return loras.map((lora) => drawing.loras[lora]?.label ?? String(lora + 1));
}

function ascending(numbers: number[]): number[] {
  return [...new Set(numbers)].sort((one, other) => one - other);
}
