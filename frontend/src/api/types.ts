/** The pages' names for what the server sends. The types themselves are generated: `npm run types`. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Problem = Omit<Schemas["ProblemEntry"], "severity"> & {
  severity?: Schemas["Severity"];
};
export type JobStatus = Schemas["JobStatus"];
export type JobSummary = Schemas["JobSummary"];
export type Job = Schemas["Job"];
export type Run = Schemas["RunEntry"];
export type Move = Schemas["MoveEntry"];
export type FailureClass = Schemas["FailureClass"];
export type Metric = Schemas["MetricPoint"];
export type Measurement = Schemas["MeasurementPoint"];
export type FineContrast = Schemas["FineContrast"];
export type Command = Schemas["CommandEntry"];
export type Sample = Schemas["SampleEntry"];
export type Checkpoint = Schemas["CheckpointEntry"];
export type Architecture = Schemas["Architecture"];
export type Lora = Schemas["LoraEntry"];
export type DrawingEntry = Schemas["DrawingEntry"];
export type WholeDrawing = Schemas["Drawing"];
export type DrawnPicture = Schemas["DrawnPicture"];
export type Reference = Schemas["ReferenceEntry"];
export type DrawingVerdict = Schemas["DrawingVerdict"];
export type DatasetSummary = Schemas["DatasetEntry"];
export type Device = Schemas["DeviceEntry"];
export type SystemInfo = Schemas["SystemState"];
export type LoadSample = Schemas["LoadSample"];
export type LoadHistory = Schemas["LoadHistory"];
export type QueueState = Schemas["QueueState"];
export type HooksState = Schemas["HooksState"];
export type Failure = Schemas["Failure"];
export type FailureCure = Schemas["FailureCure"];
export type Delivery = Schemas["Delivery"];
export type TrashEntry = Schemas["TrashEntry"];
export type JobSchema = Schemas["JobSchema"];
export type Validation = Schemas["Verdict"];
export type LogPart = Schemas["LogPart"];
/** A line of a log; the byte where it begins is its identity. */
export type WrittenLine = Schemas["LogLine"];

export type Presets = Schemas["Presets"];
export type NamedSettings = Schemas["NamedSettings"];
export type KindOfLora = Schemas["KindOfLora"];
export type ImportedJob = Schemas["ImportedJob"];
export type JobPlan = Schemas["JobPlan"];
export type DevicePlan = Schemas["DevicePlan"];
export type PlanPhase = Schemas["PhaseEntry"];
export type JobDatasets = Schemas["JobDatasets"];
export type DatasetContents = Schemas["DatasetContents"];
/** What of a place in the queue is to be another; what is left out stays. */
export type PlaceChange = Partial<Schemas["PlaceInQueue"]>;

/** A job as the form holds it: it may be incomplete, so nothing more is promised of its shape. */
export type JobConfigValue = Record<string, unknown>;

/** The picture that a job is drawing just now: `done` of `total` denoising steps. */
export interface Preview {
  job_id: number;
  step: number;
  prompt_index: number;
  /** As its sample will say it; not told by a trainer from before previews said it. */
  prompt?: string | null;
  done: number;
  total: number;
}
