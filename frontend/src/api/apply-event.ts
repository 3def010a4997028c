/**
 * What an event of the stream does to what the page has already fetched.
 *
 * Every change is idempotent: an event that the fetched answer already contains changes nothing, so
 * a stream that opens a moment before or after a fetch makes neither a gap nor a double.
 */

import type { QueryClient, QueryKey } from "@tanstack/react-query";
import {
  applyDrawing,
  applyDrawingDeleted,
  applyDrawnPicture,
  knownDrawing,
} from "./apply-drawing";
import { withJob, withoutJob } from "./job-lists";
import { askAgainIfAsking } from "./late-answers";
import { keys, MAX_CURVE_POINTS } from "./queries";
import { changeShownJobs, shownJob } from "./shown-jobs";
import type {
  Checkpoint,
  Command,
  Job,
  JobSummary,
  LoadHistory,
  LoadSample,
  Measurement,
  Metric,
  Preview,
  QueueState,
  Sample,
  SystemInfo,
} from "./types";

/** Called with a job's old and new state when the stream moved it. */
export type StatusListener = (job: JobSummary) => void;

/** What is fetched already changes at once; what is just being fetched is asked for once more. */
function change<Data>(
  client: QueryClient,
  queryKey: QueryKey,
  next: (known: Data | undefined) => Data | undefined,
): void {
  client.setQueryData<Data>(queryKey, next);
  askAgainIfAsking(client, queryKey);
}

export function applyJob(client: QueryClient, summary: JobSummary, moved: StatusListener): void {
  const before =
    client.getQueryData<Job>(keys.job(summary.id)) ??
    shownJob(client, summary.id) ??
    knownDrawing(client, summary.id);
  if (before !== undefined && before.updated_at > summary.updated_at) {
    return;
  }
  // Drawings are jobs too, and the lists hold trainings.
  if (summary.kind === "training") {
    changeShownJobs(client, (lists, filter) => withJob(lists, summary, filter));
  } else {
    applyDrawing(client, summary, before?.status !== summary.status);
  }
  change<Job>(client, keys.job(summary.id), (job) => job && { ...job, ...summary });
  if (before?.status !== summary.status) {
    void client.invalidateQueries({ queryKey: keys.queue });
    void client.invalidateQueries({ queryKey: keys.activeJobs });
  }
  if (summary.phase !== "sample") {
    applyPreviewOver(client, summary.id);
  }
  if (before !== undefined && before.status !== summary.status) {
    moved(summary);
    // Runs, warnings and the steps to resume from change with the state and are not in a summary.
    void client.invalidateQueries({ queryKey: keys.job(summary.id), exact: true });
    void client.invalidateQueries({ queryKey: keys.failure(summary.id) });
  }
}

export function applyJobDeleted(client: QueryClient, id: number): void {
  changeShownJobs(client, (lists) => withoutJob(lists, id));
  applyDrawingDeleted(client, id);
  void client.invalidateQueries({ queryKey: keys.job(id) });
  void client.invalidateQueries({ queryKey: keys.queue });
  void client.invalidateQueries({ queryKey: keys.trash });
}

/**
 * Each step is drawn as it comes, on the curve of all runs and on that of its own. A page that is
 * open for days would hold them all; past twice what a screen shows, the curve is fetched again,
 * thinned out by the server.
 */
export function applySteps(client: QueryClient, id: number, items: Metric[]): void {
  for (const queryKey of [keys.metrics(id), keys.metrics(id, items[0]?.run)]) {
    const before = client.getQueryData<Metric[]>(queryKey);
    change<Metric[]>(client, queryKey, (metrics) => metrics && joined(metrics, items));
    if (before !== undefined && cutsOff(before, items)) {
      // Parts of the curve that were fetched more closely hold the steps that are no more.
      void client.invalidateQueries({
        queryKey,
        predicate: (query) => query.queryKey.length > queryKey.length,
      });
    }
    const length = client.getQueryData<Metric[]>(queryKey)?.length ?? 0;
    if (length > 2 * MAX_CURVE_POINTS) {
      void client.invalidateQueries({ queryKey, exact: true }, { cancelRefetch: false });
    }
  }
}

/** Whether a later run trains steps again that the curve has of an earlier one. */
function cutsOff(metrics: Metric[], items: Metric[]): boolean {
  const known = metrics[metrics.length - 1];
  const first = items[0];
  return (
    known !== undefined && first !== undefined && first.run > known.run && first.step <= known.step
  );
}

/** One curve across resumes: a later run takes the place of what it trains again. */
export function joined(metrics: Metric[], items: Metric[]): Metric[] {
  const first = items[0];
  if (first === undefined) {
    return metrics;
  }
  let keep = metrics.length;
  while (keep > 0 && (metrics[keep - 1]?.step ?? 0) >= first.step) {
    keep -= 1;
  }
  const known = metrics[metrics.length - 1];
  const last = items[items.length - 1];
  if (
    known !== undefined &&
    last !== undefined &&
    known.run >= last.run &&
    last.step <= known.step
  ) {
    return metrics;
  }
  return [...metrics.slice(0, keep), ...items];
}

/** A measurement takes the place of that of its step and of what an earlier run had beyond it. */
export function applyMeasurement(client: QueryClient, id: number, point: Measurement): void {
  for (const queryKey of [keys.measurements(id), keys.measurements(id, point.run)]) {
    change<Measurement[]>(client, queryKey, (known) => {
      if (known === undefined || known.some(({ run }) => run > point.run)) {
        return known;
      }
      const others = known.filter(
        ({ step, run }) => step !== point.step && (run === point.run || step < point.step),
      );
      return [...others, point].sort((one, other) => one.step - other.step);
    });
  }
}

/** What was asked of the trainer, newest first; a change that it took is in the job's config. */
export function applyCommand(client: QueryClient, id: number, command: Command): void {
  change<Command[]>(
    client,
    keys.commands(id),
    (known) =>
      known &&
      [command, ...known.filter((other) => other.id !== command.id)].sort(
        (one, other) => other.id - one.id,
      ),
  );
  if (command.command === "change" && command.outcome !== "waiting") {
    void client.invalidateQueries({ queryKey: keys.job(id), exact: true });
  }
}

/** What a job is drawing, step by step; over when the picture is there or could not be drawn. */
export function applyPreview(client: QueryClient, id: number, preview: Preview): void {
  client.setQueryData<Preview | null>(keys.preview(id), preview);
}

export function applyPreviewOver(client: QueryClient, id: number): void {
  client.setQueryData<Preview | null>(keys.preview(id), (known) => known && null);
}

export function applySample(client: QueryClient, id: number, sample: Sample): void {
  applyPreviewOver(client, id);
  applyDrawnPicture(client, id, sample);
  change<Sample[]>(
    client,
    keys.samples(id),
    (samples) => samples && [...samples.filter((other) => other.id !== sample.id), sample],
  );
}

export function applySampleRemoved(client: QueryClient, id: number, sampleId: number): void {
  change<Sample[]>(client, keys.samples(id), (known) =>
    known?.filter((one) => one.id !== sampleId),
  );
  void client.invalidateQueries({ queryKey: keys.trash });
}

export function applyCheckpoint(client: QueryClient, id: number, checkpoint: Checkpoint): void {
  change<Checkpoint[]>(
    client,
    keys.checkpoints(id),
    (known) => known && [...known.filter((other) => other.id !== checkpoint.id), checkpoint],
  );
}

export function applyCheckpointRemoved(
  client: QueryClient,
  id: number,
  step: number,
  isFinal: boolean,
): void {
  change<Checkpoint[]>(client, keys.checkpoints(id), (known) =>
    known?.filter((one) => one.step !== step || one.is_final !== isFinal),
  );
  void client.invalidateQueries({ queryKey: keys.trash });
}

export function applySystem(client: QueryClient, change: Partial<SystemInfo>): void {
  client.setQueryData<SystemInfo>(keys.system, (system) => system && { ...system, ...change });
}

/** What is paused; the rest of the queue's figures is fetched again. */
export function applyQueue(client: QueryClient, change: Pick<QueueState, "paused">): void {
  client.setQueryData<QueueState>(keys.queue, (queue) => queue && { ...queue, ...change });
  // Why each job waits has changed with it.
  void client.invalidateQueries({ queryKey: keys.jobLists });
}

/** As many samples as the server keeps: a quarter of an hour. */
const KEPT_LOAD_SAMPLES = 300;

/** One more sample of the machine, and with it what the devices show now. */
export function applyLoad(client: QueryClient, sample: LoadSample): void {
  client.setQueryData<LoadHistory>(keys.load, (history) => {
    if (history === undefined || (history.items.at(-1)?.at ?? "") >= sample.at) {
      return history;
    }
    return { ...history, items: [...history.items, sample].slice(-KEPT_LOAD_SAMPLES) };
  });
}
