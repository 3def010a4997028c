/**
 * What an event of the stream does to what the page has already fetched.
 *
 * Every change is idempotent: an event that the fetched answer already contains changes nothing, so
 * a stream that opens a moment before or after a fetch makes neither a gap nor a double.
 */

import type { QueryClient } from "@tanstack/react-query";
import { findJob, type JobLists, withJob, withoutJob } from "./job-lists";
import { keys } from "./queries";
import type { Checkpoint, Job, JobSummary, Metric, Sample, SystemInfo } from "./types";

/** Called with a job's old and new state when the stream moved it. */
export type StatusListener = (job: JobSummary) => void;

export function applyJob(client: QueryClient, summary: JobSummary, moved: StatusListener): void {
  const before =
    client.getQueryData<Job>(keys.job(summary.id)) ??
    findJob(client.getQueryData<JobLists>(keys.jobs), summary.id);
  if (before !== undefined && before.updated_at > summary.updated_at) {
    return;
  }
  client.setQueryData<JobLists>(keys.jobs, (lists) => lists && withJob(lists, summary));
  client.setQueryData<Job>(keys.job(summary.id), (job) => job && { ...job, ...summary });
  if (before !== undefined && before.status !== summary.status) {
    moved(summary);
    // Runs, warnings and the steps to resume from change with the state and are not in a summary.
    void client.invalidateQueries({ queryKey: keys.job(summary.id), exact: true });
  }
}

export function applyJobDeleted(client: QueryClient, id: number): void {
  client.setQueryData<JobLists>(keys.jobs, (lists) => lists && withoutJob(lists, id));
  void client.invalidateQueries({ queryKey: keys.job(id) });
}

export function applySteps(client: QueryClient, id: number, items: Metric[]): void {
  client.setQueryData<Metric[]>(keys.metrics(id), (metrics) => metrics && joined(metrics, items));
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

export function applySample(client: QueryClient, id: number, sample: Sample): void {
  client.setQueryData<Sample[]>(
    keys.samples(id),
    (samples) => samples && [...samples.filter((other) => other.id !== sample.id), sample],
  );
}

export function applyCheckpoint(client: QueryClient, id: number, checkpoint: Checkpoint): void {
  client.setQueryData<Checkpoint[]>(
    keys.checkpoints(id),
    (known) => known && [...known.filter((other) => other.id !== checkpoint.id), checkpoint],
  );
}

export function applyCheckpointRemoved(client: QueryClient, id: number, step: number): void {
  client.setQueryData<Checkpoint[]>(keys.checkpoints(id), (known) =>
    known?.filter((checkpoint) => checkpoint.step !== step || checkpoint.is_final),
  );
}

export function applySystem(client: QueryClient, change: Partial<SystemInfo>): void {
  client.setQueryData<SystemInfo>(keys.system, (system) => system && { ...system, ...change });
}
