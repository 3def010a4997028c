/** Query keys and options: what is fetched, and under which name the stream finds it again. */

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { itemsOf } from "./answer-age";
import { api } from "./client";
import { inTurn } from "./in-turn";
import { fetchJobLists, type JobFilter, type JobLists, noFilter } from "./job-lists";
import type { JobStatus, Preview } from "./types";

/** More points than a wide screen has pixels; the server thins longer curves out to this. */
export const MAX_CURVE_POINTS = 4000;

export const keys = {
  jobs: ["jobs"] as const,
  jobLists: ["jobs", "lists"] as const,
  queue: ["queue"] as const,
  job: (id: number) => ["job", id] as const,
  /** Without a run, the one curve of all. */
  metrics: (id: number, run?: number) => ["job", id, "metrics", run ?? null] as const,
  measurements: (id: number, run?: number) => ["job", id, "measurements", run ?? null] as const,
  commands: (id: number) => ["job", id, "commands"] as const,
  preview: (id: number) => ["preview", id] as const,
  drawings: ["jobs", "drawings"] as const,
  drawing: (id: number) => ["job", id, "drawing"] as const,
  activeJobs: ["jobs", "active"] as const,
  loras: ["loras"] as const,
  failure: (id: number) => ["job", id, "failure"] as const,
  samples: (id: number) => ["job", id, "samples"] as const,
  fineContrast: (id: number) => ["job", id, "fine-contrast"] as const,
  checkpoints: (id: number) => ["job", id, "checkpoints"] as const,
  datasets: ["datasets"] as const,
  system: ["system"] as const,
  load: ["load"] as const,
  hooks: ["hooks"] as const,
  trash: ["trash"] as const,
  jobSchema: ["job-schema"] as const,
};

export const jobsQuery = (filter: JobFilter = noFilter) => {
  const queryKey = [...keys.jobLists, filter] as const;
  return queryOptions({
    queryKey,
    queryFn: ({ signal, client }) =>
      fetchJobLists(filter, client.getQueryData<JobLists>(queryKey), signal),
  });
};

export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) => api.queue(signal),
});

/** More than anybody looks through; those beyond are found by their names. */
const NAMED_JOBS = 200;

/** The jobs to choose another from, newest first: those whose names hold `search`. */
export const jobNamesQuery = (search: string) =>
  queryOptions({
    queryKey: [...keys.jobs, "names", search] as const,
    queryFn: async ({ signal }) => {
      const named = search === "" ? {} : { search };
      return itemsOf(await api.jobs({ ...named, order: "newest", limit: NAMED_JOBS }, signal));
    },
  });

export const jobQuery = (id: number) =>
  queryOptions({ queryKey: keys.job(id), queryFn: ({ signal }) => api.job(id, signal) });

/**
 * Cures are planned on the machine as it is now, which takes the server a moment: a list of failures
 * asks for one after the other.
 */
export const failureQuery = (id: number) =>
  queryOptions({
    queryKey: keys.failure(id),
    queryFn: async ({ signal }) => (await inTurn(() => api.failure(id, signal))) ?? null,
  });

export const metricsQuery = (id: number, run?: number) =>
  queryOptions({
    queryKey: keys.metrics(id, run),
    queryFn: async ({ signal }) =>
      itemsOf(await api.metrics(id, { run, max_points: MAX_CURVE_POINTS }, signal)),
  });

/** A part of a curve, as closely as a screen can show it. */
export const metricsInQuery = (id: number, run: number | undefined, from: number, to: number) =>
  queryOptions({
    queryKey: [...keys.metrics(id, run), from, to] as const,
    queryFn: async ({ signal }) => {
      const asked = { run, after_step: from - 1, through_step: to, max_points: MAX_CURVE_POINTS };
      return itemsOf(await api.metrics(id, asked, signal));
    },
  });

export const measurementsQuery = (id: number, run?: number) =>
  queryOptions({
    queryKey: keys.measurements(id, run),
    queryFn: async ({ signal }) => itemsOf(await api.measurements(id, run, signal)),
  });

export const commandsQuery = (id: number) =>
  queryOptions({
    queryKey: keys.commands(id),
    queryFn: async ({ signal }) => itemsOf(await api.commands(id, signal)),
  });

export const samplesQuery = (id: number) =>
  queryOptions({ queryKey: keys.samples(id), queryFn: ({ signal }) => api.samples(id, signal) });

/** Of the newest samples; worked out from the pictures, so that it is asked once for each of them. */
export const fineContrastQuery = (id: number, newestSample: number | null) =>
  queryOptions({
    queryKey: [...keys.fineContrast(id), newestSample] as const,
    queryFn: ({ signal }) => api.fineContrast(id, signal),
    enabled: newestSample !== null,
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Only the stream knows of it; nothing is fetched, and a page that opens late waits for the next. */
export const previewQuery = (id: number) =>
  queryOptions({
    queryKey: keys.preview(id),
    queryFn: (): Preview | null => null,
    staleTime: Number.POSITIVE_INFINITY,
    initialData: null as Preview | null,
  });

export const checkpointsQuery = (id: number) =>
  queryOptions({
    queryKey: keys.checkpoints(id),
    queryFn: ({ signal }) => api.checkpoints(id, signal),
  });

/** Drawings, the newest first, as far as they are shown. */
export const drawingsQuery = infiniteQueryOptions({
  queryKey: keys.drawings,
  queryFn: ({ pageParam, signal }) =>
    api.drawings({ limit: DRAWINGS_AT_A_TIME, after: pageParam ?? undefined }, signal),
  initialPageParam: null as number | null,
  getNextPageParam: ({ next }) => (next ? Number(next) : null),
});

const DRAWINGS_AT_A_TIME = 12;

export const drawingQuery = (id: number) =>
  queryOptions({ queryKey: keys.drawing(id), queryFn: ({ signal }) => api.drawing(id, signal) });

/** What holds a device just now, trainings and drawings. */
export const activeJobsQuery = queryOptions({
  queryKey: keys.activeJobs,
  queryFn: async ({ signal }) => {
    const status: JobStatus[] = ["starting", "running", "stopping"];
    return itemsOf(await api.jobs({ status, kind: "all", limit: 100 }, signal));
  },
});

/** LoRA files that a drawing can be made with; as far as they are shown. */
export const lorasQuery = (search: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.loras, search] as const,
    queryFn: ({ pageParam, signal }) =>
      api.loras({ search, limit: LORAS_AT_A_TIME, after: pageParam ?? undefined }, signal),
    initialPageParam: null as number | null,
    getNextPageParam: ({ next }) => (next ? Number(next) : null),
  });

const LORAS_AT_A_TIME = 50;

export const datasetsQuery = queryOptions({
  queryKey: keys.datasets,
  queryFn: ({ signal }) => api.datasets(signal),
});

/** What a config's datasets hold; asked by the config as text, so that equal ones are asked once. */
export const jobDatasetsQuery = (config: string) =>
  queryOptions({
    queryKey: [...keys.datasets, "of-job", config] as const,
    queryFn: ({ signal }) => api.jobDatasets(JSON.parse(config), signal),
    retry: false,
  });

export const systemQuery = queryOptions({
  queryKey: keys.system,
  queryFn: ({ signal }) => api.system(signal),
});

export const loadQuery = queryOptions({
  queryKey: keys.load,
  queryFn: ({ signal }) => api.load(signal),
});

export const hooksQuery = queryOptions({
  queryKey: keys.hooks,
  queryFn: ({ signal }) => api.hooks(signal),
});

export const trashQuery = queryOptions({
  queryKey: keys.trash,
  queryFn: ({ signal }) => api.trash(signal),
});

export const jobSchemaQuery = queryOptions({
  queryKey: keys.jobSchema,
  queryFn: ({ signal }) => api.jobSchema(signal),
  staleTime: Number.POSITIVE_INFINITY,
});
