/**
 * Pictures as prompts down and steps across, of one job or of several.
 *
 * What makes two pictures one prompt's is their recipe (words, seed, size, guidance, steps,
 * strength, references), not their place in the prompt list: when prompts are edited between runs,
 * the rows of the old ones stay what they were.
 *
 * Jobs with the same prompts meet in one group. Where two of them drew the same words with the same
 * seed but at another size or strength, the second one's lane says in what it differs.
 *
 * A group has a lane for each job, and one more for each branch that a resume set aside. The base
 * model's picture belongs to no branch: every lane of a job has it.
 */

import type { Job, Problem, Sample } from "@/api/types";

export interface GalleryJob {
  id: number;
  name: string;
  samples: Sample[];
  /** Pictures that could not be drawn, from the records of its runs. */
  failures: Failure[];
  /** What it is drawing just now. */
  drawing?: Drawing | null;
  /** The round of pictures that it is at. */
  round?: Round | null;
}

export interface Failure {
  step: number;
  promptIndex: number;
  prompt: string;
  message: string;
}

/** Where a picture that is being drawn will stand; how far it is only its own cell asks. */
export interface Drawing {
  jobId: number;
  step: number;
  promptIndex: number;
  prompt: string;
}

/** What a job asks for at a step: what of it is not there yet will be. */
export interface Round {
  step: number;
  prompts: string[];
}

export interface Lane {
  key: string;
  jobId: number;
  jobName: string;
  /** Number of the run that set this branch aside; null for what counts. */
  supersededBy: number | null;
  byStep: Map<number, Sample>;
  failures: Map<number, Failure>;
  drawing: Drawing | null;
  /** Columns whose picture was asked for and is not there; see `isComing`. */
  waiting?: ReadonlySet<number>;
  /** One of its pictures and what the group's has otherwise; where their recipes are not the same. */
  unlike?: { own: Sample; groups: Sample };
}

export interface Group {
  key: string;
  /** Counted from 1, whatever is filtered out. */
  number: number;
  /** One of its pictures, for the recipe. */
  like: Sample | null;
  prompt: string;
  lanes: Lane[];
}

export interface Gallery {
  groups: Group[];
  /** Ascending; step 0 is the base model's. */
  steps: number[];
  /** What the columns are called where they are no steps of a training; see drawing-model.ts. */
  columns?: ReadonlyMap<number, string>;
  /** Whether what is waited for will be drawn, or was given up. */
  isComing?: boolean;
  /** Which LoRA a picture was drawn with, by its number; where that is not the lane's own job's. */
  loras?: ReadonlyMap<number, string>;
}

export function recipeKey(sample: Sample): string {
  return JSON.stringify([
    sample.prompt,
    sample.seed,
    sample.width,
    sample.height,
    sample.guidance_scale,
    sample.sample_steps,
    sample.lora_strength ?? 1,
    sample.negative_prompt,
    sample.control_images,
  ]);
}

/** What pictures of several jobs have in common at the least, to be compared. */
export function promptKey({ prompt, seed }: Sample): string {
  return JSON.stringify([prompt, seed]);
}

export function galleryOf(jobs: GalleryJob[]): Gallery {
  const groups = new Map<string, { group: Group; place: number }>();
  for (const job of jobs) {
    const newestFirst = [...job.samples].sort((one, other) => other.id - one.id);
    for (const sample of newestFirst) {
      const key = recipeKey(sample);
      const found = groups.get(key) ?? {
        group: { key, number: 0, like: sample, prompt: sample.prompt, lanes: [] },
        place: sample.prompt_index,
      };
      groups.set(key, found);
      const lane = laneOf(found.group, job, sample.superseded_by);
      // A step that was drawn anew counts once: the newest came first.
      if (!lane.byStep.has(sample.step)) {
        lane.byStep.set(sample.step, sample);
      }
    }
    for (const failure of job.failures) {
      const { step, promptIndex, prompt } = failure;
      const lane = laneForPrompt(groups, job, step, promptIndex, prompt);
      if (!lane.byStep.has(step)) {
        lane.failures.set(step, failure);
      }
    }
    if (job.drawing) {
      const { step, promptIndex, prompt } = job.drawing;
      laneForPrompt(groups, job, step, promptIndex, prompt).drawing = job.drawing;
    }
    const { step = 0, prompts = [] } = job.round ?? {};
    for (const [promptIndex, prompt] of prompts.entries()) {
      const lane = laneForPrompt(groups, job, step, promptIndex, prompt);
      if (!isTaken(lane, step)) {
        lane.waiting = new Set([...(lane.waiting ?? []), step]);
      }
    }
  }
  const ordered = [...groups.values()]
    .sort((one, other) => one.place - other.place || firstId(one.group) - firstId(other.group))
    .map(({ group }) => group);
  return {
    groups: met(ordered).map((group, index) => ({
      ...group,
      number: index + 1,
      lanes: withBase(group.lanes),
    })),
    steps: stepsOf(ordered.flatMap(({ lanes }) => lanes)),
    isComing: true,
  };
}

/**
 * Lays a group into an earlier one with the same words and seed if none of its jobs is there: what
 * one job itself drew in two ways, it was asked for in two rows.
 */
function met(groups: Group[]): Group[] {
  const hosts: Group[] = [];
  for (const group of groups) {
    const { like, lanes } = group;
    const host =
      like === null
        ? undefined
        : hosts.find(
            (one) =>
              one.like !== null &&
              promptKey(one.like) === promptKey(like) &&
              !one.lanes.some(({ jobId }) => lanes.some((lane) => lane.jobId === jobId)),
          );
    if (like === null || !host?.like) {
      hosts.push({ ...group, lanes: [...lanes] });
    } else {
      const unlike = { own: like, groups: host.like };
      host.lanes.push(...lanes.map((lane) => ({ ...lane, unlike })));
    }
  }
  return hosts;
}

function laneOf(group: Group, job: GalleryJob, supersededBy: number | null): Lane {
  const key = `${group.key} ${job.id} ${supersededBy ?? ""}`;
  const known = group.lanes.find((lane) => lane.key === key);
  if (known !== undefined) {
    return known;
  }
  const lane: Lane = {
    key,
    jobId: job.id,
    jobName: job.name,
    supersededBy,
    byStep: new Map(),
    failures: new Map(),
    drawing: null,
  };
  group.lanes.push(lane);
  return lane;
}

/**
 * Where a prompt's picture of a job at a step belongs: the line that has its others, by the words and
 * then by the place in the prompt list; a line of its own where there is none, or where the only one
 * has its place taken.
 */
function laneForPrompt(
  groups: Map<string, { group: Group; place: number }>,
  job: GalleryJob,
  step: number,
  promptIndex: number,
  prompt: string,
): Lane {
  const ownLanes = (group: Group) => group.lanes.filter((lane) => lane.jobId === job.id);
  const present = (group: Group) => ownLanes(group).find((lane) => lane.supersededBy === null);
  const alike = [...groups.values()]
    .map(({ group }) => group)
    .filter(
      (group) => group.like !== null && group.prompt === prompt && ownLanes(group).length > 0,
    );
  const isFree = (group: Group) => {
    const lane = present(group);
    return lane === undefined || !isTaken(lane, step);
  };
  const known =
    alike.find((group) => ownLanes(group).some((lane) => isAtPlace(lane, step, promptIndex))) ??
    alike.find(isFree);
  const key = `undrawn ${promptIndex} ${prompt}`;
  const group = known ??
    groups.get(key)?.group ?? { key, number: 0, like: null, prompt, lanes: [] };
  if (!groups.has(group.key)) {
    groups.set(group.key, { group, place: promptIndex });
  }
  return laneOf(group, job, null);
}

/** Whether a prompt stands there by the newest of its pictures, or by what became of this one. */
function isAtPlace(lane: Lane, step: number, promptIndex: number): boolean {
  const newest = lane.byStep.values().next().value;
  const failure = lane.failures.get(step);
  const drawing = lane.drawing?.step === step ? lane.drawing : null;
  return [newest?.prompt_index, failure?.promptIndex, drawing?.promptIndex].includes(promptIndex);
}

/** Whether something stands there already. */
export function isTaken(lane: Lane, step: number): boolean {
  return (
    lane.byStep.has(step) ||
    lane.failures.has(step) ||
    lane.drawing?.step === step ||
    lane.waiting?.has(step) === true
  );
}

function firstId(group: Group): number {
  return Math.min(...group.lanes.flatMap((lane) => [...lane.byStep.values()].map(({ id }) => id)));
}

/** What counts first, then branches, the latest first; a base picture alone is no branch. */
function withBase(lanes: Lane[]): Lane[] {
  const jobs = [...new Set(lanes.map((lane) => lane.jobId))];
  return jobs.flatMap((jobId) => {
    const own = lanes
      .filter((lane) => lane.jobId === jobId)
      .sort((one, other) => rank(other) - rank(one));
    const base = own.map((lane) => lane.byStep.get(0)).find((sample) => sample !== undefined);
    const shown = own.filter(
      (lane) => lane.supersededBy === null || [...lane.byStep.keys()].some((step) => step !== 0),
    );
    for (const lane of shown) {
      if (base !== undefined && !lane.byStep.has(0)) {
        lane.byStep.set(0, base);
      }
    }
    return shown.length > 0 ? shown : own.slice(0, 1);
  });
}

function rank(lane: Lane): number {
  return lane.supersededBy ?? Number.POSITIVE_INFINITY;
}

export function stepsOf(lanes: Lane[]): number[] {
  const steps = lanes.flatMap((lane) => [
    ...lane.byStep.keys(),
    ...lane.failures.keys(),
    ...(lane.drawing === null ? [] : [lane.drawing.step]),
    ...(lane.waiting ?? []),
  ]);
  return [...new Set(steps)].sort((one, other) => one - other);
}

/** Whether a warning of a run tells of a picture that was not drawn. */
export function isLostPicture(code: string): boolean {
  return code === "sample_failed" || code === "out_of_memory";
}

/**
 * What the records of a job's runs say of pictures that were not drawn, and are not of a branch that
 * a later run left. A run that begins from a step stands on what is there of it, and draws what lacks.
 */
export function failuresOf(job: Job | undefined): Failure[] {
  const runs = job?.runs ?? [];
  return runs.flatMap(({ problems }, index) => {
    const begins = runs.slice(index + 1).map((later) => later.first_step ?? Infinity);
    const keptUntil = Math.min(...begins);
    return problems.flatMap(lostPicture).filter(({ step }) => step <= keptUntil);
  });
}

function lostPicture({ code, field, message, hint, params }: Problem): Failure[] {
  const index = /^sample\.prompts\.(\d+)$/.exec(field ?? "");
  const { step, prompt } = params as { step?: unknown; prompt?: unknown };
  return isLostPicture(code) && index !== null && typeof step === "number"
    ? [
        {
          step,
          promptIndex: Number(index[1]),
          prompt: String(prompt ?? ""),
          message: `${message} ${hint}`.trim(),
        },
      ]
    : [];
}

/** Numbers of pictures as the archive's address takes them: 3,7-12. */
export function idSpans(ids: number[]): string {
  const sorted = [...new Set(ids)].sort((one, other) => one - other);
  const spans: [number, number][] = [];
  for (const id of sorted) {
    const last = spans[spans.length - 1];
    if (last !== undefined && last[1] === id - 1) {
      last[1] = id;
    } else {
      spans.push([id, id]);
    }
  }
  return spans.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join();
}
