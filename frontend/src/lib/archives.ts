/** Where archives and files in other forms are fetched. */

/** Pictures of a job: all, or those of `ids`, as in 3,7-12. */
export function samplesArchive(jobId: number, ids?: string): string {
  const query = ids === undefined ? "" : `?ids=${ids}`;
  return `/api/jobs/${jobId}/samples.zip${query}`;
}

export type LoraFormat = "diffusers" | "comfyui";

/** A LoRA in the names of the program that it is for. */
export function loraFile(url: string, format: LoraFormat): string {
  return `${url}?format=${format}`;
}

/** A job with its datasets and the checkpoint of a step, to go on on another machine. */
export function jobBundle(jobId: number, step: number): string {
  return `/api/jobs/${jobId}/bundle?step=${step}`;
}

/** The whole log of a run, as the trainer wrote it. */
export function logFile(jobId: number, run: number): string {
  return `/api/jobs/${jobId}/log/file?run=${run}`;
}
