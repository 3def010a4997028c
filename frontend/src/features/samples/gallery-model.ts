/**
 * Pictures as prompts down and steps across, of one job or of several.
 *
 * What makes two pictures one prompt's is their recipe (words, seed, size, guidance, steps,
 * strength, references), not their place in the prompt list: when prompts are edited between runs,
 * the rows of the old ones stay what they were, and jobs with the same prompts meet in one group.
 *
 * A group has a lane for each job, and one more for each branch that a resume set aside. The base
 * model's picture belongs to no branch: every lane of a job has it.
 */

import type { Job, Preview, Sample } from "@/api/types";

export interface GalleryJob {
  id: number;
  name: string;
  samples: Sample[];
  /** Pictures that could not be drawn, from the records of its runs. */
  failures: Failure[];
  /** What it is drawing just now. */
  drawing?: Drawing | null;
}

export interface Failure {
  step: number;
  promptIndex: number;
  prompt: string;
  message: string;
}

export interface Drawing {
  step: number;
  promptIndex: number;
  prompt: string;
  done: number;
  total: number;
  /** Of what it is becoming. */
  url: string;
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
      const lane = laneForPrompt(groups, job, failure.promptIndex, failure.prompt);
      if (!lane.byStep.has(failure.step)) {
        lane.failures.set(failure.step, failure);
      }
    }
    if (job.drawing) {
      const { drawing } = job;
      laneForPrompt(groups, job, drawing.promptIndex, drawing.prompt).drawing = drawing;
    }
  }
  const ordered = [...groups.values()].sort(
    (one, other) => one.place - other.place || firstId(one.group) - firstId(other.group),
  );
  return {
    groups: ordered.map(({ group }, index) => ({
      ...group,
      number: index + 1,
      lanes: withBase(group.lanes),
    })),
    steps: stepsOf(ordered.flatMap(({ group }) => group.lanes)),
  };
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

/** Where a prompt's pictures of a job are; a row of its own where there is none yet. */
function laneForPrompt(
  groups: Map<string, { group: Group; place: number }>,
  job: GalleryJob,
  promptIndex: number,
  prompt: string,
): Lane {
  const of = (group: Group) =>
    group.lanes.find((lane) => lane.jobId === job.id && lane.supersededBy === null);
  const alike = [...groups.values()].find(
    ({ group, place }) =>
      group.prompt === prompt && place === promptIndex && of(group) !== undefined,
  );
  const key = `undrawn ${promptIndex} ${prompt}`;
  const found = alike ??
    groups.get(key) ?? {
      group: { key, number: 0, like: null, prompt, lanes: [] },
      place: promptIndex,
    };
  groups.set(found.group.key, found);
  return of(found.group) ?? laneOf(found.group, job, null);
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

/** What the records of a job's runs say of pictures that were not drawn. */
export function failuresOf(job: Job | undefined): Failure[] {
  const problems = job?.runs.flatMap((run) => run.problems) ?? [];
  return problems.flatMap(({ code, field, message, params }) => {
    const index = /^sample\.prompts\.(\d+)$/.exec(field ?? "");
    const { step, prompt } = params as { step?: unknown; prompt?: unknown };
    return code === "sample_failed" && index !== null && typeof step === "number"
      ? [{ step, promptIndex: Number(index[1]), prompt: String(prompt ?? ""), message }]
      : [];
  });
}

/** What a job's preview is of, in the words of its samples or, of a first one, of its config. */
export function drawingOf(
  preview: Preview | null | undefined,
  samples: Sample[],
  job: Job | undefined,
): Drawing | null {
  if (!preview) {
    return null;
  }
  const { step, prompt_index, done, total } = preview;
  const drawn = samples
    .filter((one) => one.prompt_index === prompt_index && one.superseded_by === null)
    .reduce<Sample | null>((last, one) => (last === null || one.id > last.id ? one : last), null);
  const prompts = (job?.config.sample as { prompts?: { prompt?: string }[] } | undefined)?.prompts;
  return {
    step,
    promptIndex: prompt_index,
    prompt: drawn?.prompt ?? prompts?.[prompt_index]?.prompt ?? "",
    done,
    total,
    // Another address for each, or a browser shows what it has of the same one.
    url: `/api/jobs/${preview.job_id}/preview?n=${(step * 1000 + prompt_index) * 1000 + done}`,
  };
}

export interface Filter {
  /** Words that a prompt must have, in any order. */
  words: string;
  fromStep: number | null;
  toStep: number | null;
  starred: boolean;
  newestFirst: boolean;
}

export const NO_FILTER: Filter = {
  words: "",
  fromStep: null,
  toStep: null,
  starred: false,
  newestFirst: false,
};

/** What is to be seen; the base model's column stays, to compare with. */
export function filtered(gallery: Gallery, filter: Filter): Gallery {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const inRange = (step: number) =>
    step === 0 || (step >= (filter.fromStep ?? 0) && step <= (filter.toStep ?? Infinity));
  const groups = gallery.groups
    .filter(({ prompt }) => words.every((word) => prompt.toLowerCase().includes(word)))
    .map((group) => ({
      ...group,
      lanes: group.lanes
        .map((lane) => ({
          ...lane,
          byStep: kept(
            lane.byStep,
            (step, sample) => inRange(step) && (!filter.starred || sample.is_starred),
          ),
          failures: kept(lane.failures, (step) => inRange(step) && !filter.starred),
          drawing: filter.starred ? null : lane.drawing,
          waiting: filter.starred ? NONE_WAITING : (lane.waiting ?? NONE_WAITING),
        }))
        .filter(
          (lane) =>
            lane.byStep.size > 0 ||
            lane.failures.size > 0 ||
            lane.drawing !== null ||
            lane.waiting.size > 0,
        ),
    }))
    .filter(({ lanes }) => lanes.length > 0);
  const steps = stepsOf(groups.flatMap(({ lanes }) => lanes));
  const base = steps.filter((step) => step === 0);
  const trained = steps.filter((step) => step !== 0);
  return {
    ...gallery,
    groups,
    steps: [...base, ...(filter.newestFirst ? trained.reverse() : trained)],
  };
}

const NONE_WAITING: ReadonlySet<number> = new Set();

function kept<Value>(
  map: Map<number, Value>,
  keep: (step: number, value: Value) => boolean,
): Map<number, Value> {
  return new Map([...map].filter(([step, value]) => keep(step, value)));
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
