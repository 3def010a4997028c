/** The one typed way to the server: a function for each route, errors as `ApiError`/`ServerAway`. */

import createClient, { type Middleware } from "openapi-fetch";
import { ageOfOldest, itemsOf, rememberAge } from "./answer-age";
import { ApiError, problemsOfBody, ServerAway } from "./errors";
import type { components, paths } from "./schema";
import type { JobConfigValue, PlaceChange } from "./types";

const PAGE_SIZE = 200;
/** A gallery of two thousand pictures in one answer rather than in ten, one after the other. */
const SAMPLES_PAGE_SIZE = 2000;

type Listener = () => void;
const unauthorizedListeners = new Set<Listener>();

/** Called whenever the server asks for its token. */
export function onUnauthorized(listener: Listener): Listener {
  unauthorizedListeners.add(listener);
  return () => unauthorizedListeners.delete(listener);
}

const failures: Middleware = {
  async onResponse({ response, schemaPath }) {
    if (response.ok) {
      return;
    }
    if (response.status === 401 && schemaPath !== "/api/session") {
      for (const listener of unauthorizedListeners) {
        listener();
      }
    }
    const body: unknown = await response.json().catch(() => undefined);
    throw new ApiError(response.status, problemsOfBody(response.status, body));
  },
  onError({ error }) {
    const aborted = error instanceof DOMException && error.name === "AbortError";
    return aborted ? undefined : new ServerAway();
  },
};

const http = createClient<paths>({
  // Looked up at every call, so that a page under test can have a server of its own.
  fetch: (request) => globalThis.fetch(request),
  querySerializer: { array: { style: "form", explode: true } },
});
http.use(failures);

/** The answer's body; the middleware has already thrown for anything but success. */
async function body<Data>(answer: Promise<{ data?: Data; response: Response }>): Promise<Data> {
  const { data, response } = await answer;
  rememberAge(data, response);
  return data as Data;
}

interface PageOf<Item> {
  items: Item[];
  next?: string | null;
}

async function everyPage<Item>(
  read: (cursor: { limit: number; after?: string }) => Promise<PageOf<Item>>,
  limit = PAGE_SIZE,
): Promise<Item[]> {
  const pages: PageOf<Item>[] = [];
  let after: string | undefined;
  do {
    const page = await read({ limit, after });
    pages.push(page);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return ageOfOldest(
    pages.flatMap(({ items }) => items),
    pages,
  );
}

type PresetsQuery = NonNullable<paths["/api/presets"]["get"]["parameters"]["query"]>;
type MachineToPlanFor = NonNullable<JobPlanBody["machine"]>;
type JobPlanBody = paths["/api/jobs/plan"]["post"]["requestBody"]["content"]["application/json"];
type ValidateBody =
  paths["/api/jobs/validate"]["post"]["requestBody"]["content"]["application/json"];
type Schemas = components["schemas"];
/** What is left out stays as it is. */
export type SampleMarks = Partial<Schemas["SampleMarks"]>;
export type CheckpointMarks = Partial<Schemas["CheckpointMarks"]>;
type LorasQuery = NonNullable<paths["/api/loras"]["get"]["parameters"]["query"]>;
type MetricsQuery = NonNullable<paths["/api/jobs/{job_id}/metrics"]["get"]["parameters"]["query"]>;
type JobsQuery = NonNullable<paths["/api/jobs"]["get"]["parameters"]["query"]>;

type QueueBody = NonNullable<
  paths["/api/jobs/{job_id}/queue"]["post"]["requestBody"]
>["content"]["application/json"];
type PlaceBody =
  paths["/api/jobs/{job_id}/place"]["patch"]["requestBody"]["content"]["application/json"];

const ofJob = (id: number) => ({ path: { job_id: id } });

/** Lines of a log in one answer; as many say that there may be more. */
export const LOG_PART_LINES = 500;

export const api = {
  jobSchema: (signal?: AbortSignal) => body(http.GET("/api/job-schema", { signal })),
  /** `jobId`: the job that is to have the config; null for a new one. */
  validate: (
    config: JobConfigValue,
    kind: string | null,
    jobId: number | null,
    signal?: AbortSignal,
  ) =>
    body(
      http.POST("/api/jobs/validate", {
        body: { config, kind: kind as ValidateBody["kind"], job_id: jobId },
        signal,
      }),
    ),
  presets: (
    query: Omit<PresetsQuery, "architecture"> & { architecture: string },
    signal?: AbortSignal,
  ) => body(http.GET("/api/presets", { params: { query: query as PresetsQuery }, signal })),
  plan: (config: JobConfigValue, machine: MachineToPlanFor | null, signal?: AbortSignal) =>
    body(http.POST("/api/jobs/plan", { body: { config, machine }, signal })),
  jobDatasets: (config: JobConfigValue, signal?: AbortSignal) =>
    body(http.POST("/api/datasets/contents", { body: { config }, signal })),
  importJob: (text: string, signal?: AbortSignal) =>
    body(http.POST("/api/jobs/import", { body: { text }, signal })),
  toYaml: async (config: JobConfigValue, signal?: AbortSignal) =>
    (await body(http.POST("/api/jobs/to-yaml", { body: { config }, signal }))).text,
  fromYaml: (text: string, signal?: AbortSignal) =>
    body(http.POST("/api/jobs/from-yaml", { body: { text }, signal })),

  jobs: (query: JobsQuery, signal?: AbortSignal) =>
    body(
      http.GET("/api/jobs", {
        params: { query: { ...query, after: query.after ?? undefined } },
        signal,
      }),
    ),
  job: (id: number, signal?: AbortSignal) =>
    body(http.GET("/api/jobs/{job_id}", { params: ofJob(id), signal })),
  createJob: (config: JobConfigValue, queue: boolean) =>
    body(http.POST("/api/jobs", { body: { config, queue } })),
  /** `insteadOf`: the config that this one was made from; refused if the job has another by now. */
  updateJob: (id: number, config: JobConfigValue, insteadOf: JobConfigValue) =>
    body(
      http.PATCH("/api/jobs/{job_id}", {
        params: ofJob(id),
        body: { config, instead_of: insteadOf },
      }),
    ),
  deleteJob: (id: number, files: boolean) =>
    body(http.DELETE("/api/jobs/{job_id}", { params: { ...ofJob(id), query: { files } } })),
  /** `fromStep`: one of the job's `resumable_from_steps`, 0 to begin anew; else the newest. */
  queueJob: (id: number, fromStep?: number) =>
    body(
      http.POST("/api/jobs/{job_id}/queue", {
        params: ofJob(id),
        ...(fromStep === undefined
          ? {}
          : // The types ask for every default; what is left out of a body stays as it is.
            { body: { resume_from_step: fromStep } as QueueBody }),
      }),
    ),
  /** Null for a job that did not fail. */
  failure: (id: number, signal?: AbortSignal) =>
    body(http.GET("/api/jobs/{job_id}/failure", { params: ofJob(id), signal })),
  cureJob: (id: number, key: string) =>
    body(http.POST("/api/jobs/{job_id}/cures/{key}", { params: { path: { job_id: id, key } } })),
  stopJob: (id: number) => body(http.POST("/api/jobs/{job_id}/stop", { params: ofJob(id) })),
  commandJob: (id: number, command: "save" | "sample") =>
    body(
      http.POST("/api/jobs/{job_id}/commands", {
        params: ofJob(id),
        body: { command, settings: {} },
      }),
    ),
  changeJob: (id: number, settings: Record<string, unknown>) =>
    body(
      http.POST("/api/jobs/{job_id}/commands", {
        params: ofJob(id),
        body: { command: "change", settings },
      }),
    ),
  commands: (id: number, signal?: AbortSignal) =>
    body(http.GET("/api/jobs/{job_id}/commands", { params: ofJob(id), signal })),

  queue: (signal?: AbortSignal) => body(http.GET("/api/queue", { signal })),
  pauseQueue: (device: string) => body(http.POST("/api/queue/pause", { body: { device } })),
  resumeQueue: (device: string) => body(http.POST("/api/queue/resume", { body: { device } })),
  /** `before`: the waiting job that it is to stand before; null for the end. */
  moveJob: (id: number, before: number | null) =>
    body(
      http.POST("/api/jobs/{job_id}/move", {
        params: ofJob(id),
        body: { before_job_id: before },
      }),
    ),
  placeJob: (id: number, place: PlaceChange) =>
    body(http.PATCH("/api/jobs/{job_id}/place", { params: ofJob(id), body: place as PlaceBody })),

  metrics: (id: number, asked: MetricsQuery, signal?: AbortSignal) =>
    body(
      http.GET("/api/jobs/{job_id}/metrics", { params: { ...ofJob(id), query: asked }, signal }),
    ),
  measurements: (id: number, run: number | undefined, signal?: AbortSignal) =>
    body(
      http.GET("/api/jobs/{job_id}/measurements", {
        params: { ...ofJob(id), query: { run } },
        signal,
      }),
    ),
  fineContrast: (id: number, signal?: AbortSignal) =>
    body(http.GET("/api/jobs/{job_id}/fine-contrast", { params: ofJob(id), signal })),
  samples: (id: number, signal?: AbortSignal) =>
    everyPage(
      (page) =>
        body(
          http.GET("/api/jobs/{job_id}/samples", {
            params: { ...ofJob(id), query: { ...page, superseded: true } },
            signal,
          }),
        ),
      SAMPLES_PAGE_SIZE,
    ),
  markSample: (id: number, sampleId: number, marks: SampleMarks) =>
    body(
      http.PATCH("/api/jobs/{job_id}/samples/{sample_id}", {
        params: { path: { job_id: id, sample_id: sampleId } },
        body: marks as Schemas["SampleMarks"],
      }),
    ),
  markCheckpoint: (id: number, checkpointId: number, marks: CheckpointMarks) =>
    body(
      http.PATCH("/api/jobs/{job_id}/checkpoints/{checkpoint_id}", {
        params: { path: { job_id: id, checkpoint_id: checkpointId } },
        body: marks as Schemas["CheckpointMarks"],
      }),
    ),
  checkpoints: (id: number, signal?: AbortSignal) =>
    everyPage((query) =>
      body(http.GET("/api/jobs/{job_id}/checkpoints", { params: { ...ofJob(id), query }, signal })),
    ),
  deleteCheckpoint: (id: number, checkpointId: number) =>
    body(
      http.DELETE("/api/jobs/{job_id}/checkpoints/{checkpoint_id}", {
        params: { path: { job_id: id, checkpoint_id: checkpointId } },
      }),
    ),
  deleteSample: (id: number, sampleId: number) =>
    body(
      http.DELETE("/api/jobs/{job_id}/samples/{sample_id}", {
        params: { path: { job_id: id, sample_id: sampleId } },
      }),
    ),
  /** The ComfyUI workflow of a checkpoint, under the name that it is to be saved by. */
  workflow: async (id: number, checkpointId: number) => {
    const { data, response } = await http.GET(
      "/api/jobs/{job_id}/checkpoints/{checkpoint_id}/workflow",
      { params: { path: { job_id: id, checkpoint_id: checkpointId } }, parseAs: "blob" },
    );
    const said = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
    return { file: data as unknown as Blob, name: said?.[1] ?? "workflow.comfyui.json" };
  },
  /** Its last lines; those from a byte on, or those before one. */
  log: (
    id: number,
    run: number | undefined,
    part: { offset?: number; before?: number },
    signal?: AbortSignal,
  ) =>
    body(
      http.GET("/api/jobs/{job_id}/log", {
        params: { ...ofJob(id), query: { run, ...part, limit: LOG_PART_LINES } },
        signal,
      }),
    ),

  drawings: (query: { limit: number; after?: number }, signal?: AbortSignal) =>
    body(http.GET("/api/drawings", { params: { query }, signal })),
  drawing: (id: number, signal?: AbortSignal) =>
    body(http.GET("/api/drawings/{drawing_id}", { params: { path: { drawing_id: id } }, signal })),
  validateDrawing: (config: JobConfigValue, signal?: AbortSignal) =>
    body(http.POST("/api/drawings/validate", { body: { config }, signal })),
  createDrawing: (config: JobConfigValue, priority: number) =>
    body(http.POST("/api/drawings", { body: { config, priority } })),
  loras: (query: LorasQuery, signal?: AbortSignal) =>
    body(http.GET("/api/loras", { params: { query }, signal })),
  deleteLora: (name: string) =>
    body(http.DELETE("/api/loras/{name}", { params: { path: { name } } })),

  datasets: async (signal?: AbortSignal) =>
    itemsOf(await body(http.GET("/api/datasets", { signal }))),
  system: (signal?: AbortSignal) => body(http.GET("/api/system", { signal })),
  load: (signal?: AbortSignal) => body(http.GET("/api/system/load", { signal })),
  rescan: (only: string) => body(http.POST("/api/system/rescan", { params: { query: { only } } })),

  trash: async (signal?: AbortSignal) => itemsOf(await body(http.GET("/api/trash", { signal }))),
  restore: (id: string) =>
    body(http.POST("/api/trash/{entry_id}/restore", { params: { path: { entry_id: id } } })),
  purge: (id: string) =>
    body(http.DELETE("/api/trash/{entry_id}", { params: { path: { entry_id: id } } })),
  emptyTrash: () => body(http.DELETE("/api/trash")),

  hooks: (signal?: AbortSignal) => body(http.GET("/api/hooks", { signal })),
  testHooks: () => body(http.POST("/api/hooks/test")),

  openSession: (token: string) => body(http.POST("/api/session", { body: { token } })),
};
