import type { JobStatus } from "@/api/types";

const states = (...names: JobStatus[]) => new Set<JobStatus>(names);

/** Under way: a trainer is at work on it or about to be. */
export const ACTIVE = states("starting", "running", "stopping");
/** Its trainer answers to a stop. */
export const STOPPABLE = states("queued", "starting", "running", "stopping");
export const QUEUEABLE = states("draft", "stopped", "completed", "failed", "interrupted");
export const EDITABLE = QUEUEABLE;
export const FINISHED = states("stopped", "completed", "failed", "interrupted");
