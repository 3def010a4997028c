/** The round of pictures that a job is at: which is being drawn, and which are still to come. */

import type { Job, Preview, Sample } from "@/api/types";
import type { Drawing, Round } from "./gallery-model";

/** Which picture a preview is of: the same object while the preview advances. */
export type PreviewPlace = Pick<Preview, "step" | "prompt_index" | "prompt">;

export function placeOfPreview(preview: Preview | null): PreviewPlace | null {
  return (
    preview && {
      step: preview.step,
      prompt_index: preview.prompt_index,
      prompt: preview.prompt ?? null,
    }
  );
}

/** What a job is drawing, in the words of the preview or, where it has none, of the job. */
export function drawingOf(
  place: PreviewPlace | null | undefined,
  jobId: number,
  job: Job | undefined,
): Drawing | null {
  if (!place) {
    return null;
  }
  const { step, prompt_index: promptIndex } = place;
  const prompt = place.prompt ?? promptsOf(job)[promptIndex] ?? "";
  return { jobId, step, promptIndex, prompt };
}

/** Another address for each preview, or a browser shows what it has of the same one. */
export function previewUrl({ job_id, step, prompt_index, done }: Preview): string {
  return `/api/jobs/${job_id}/preview?n=${(step * 1000 + prompt_index) * 1000 + done}`;
}

/**
 * The round that a job is at: of the step that its preview tells or, between two pictures, that of
 * the last one; not known before the first.
 */
export function roundOf(
  job: Job | undefined,
  samples: Sample[],
  drawing: Drawing | null,
): Round | null {
  const last = samples.reduce<Sample | null>(
    (newest, one) => (newest === null || one.id > newest.id ? one : newest),
    null,
  );
  const step = drawing?.step ?? (hasDrawnOfRound(job) ? last?.step : undefined);
  return step === undefined || !isAtRound(job) ? null : { step, prompts: promptsOf(job) };
}

/** Whether more pictures come before the next step. */
export function isAtRound(job: Job | undefined): boolean {
  return job?.status === "running" && job.phase === "sample";
}

export function hasDrawnOfRound(job: Job | undefined): boolean {
  return (job?.progress?.done ?? 0) > 0;
}

/** The job's prompts as they are drawn, in their order. */
function promptsOf(job: Job | undefined): string[] {
  const { sample, job: identity } = (job?.config ?? {}) as {
    sample?: { prompts?: { prompt?: string }[] };
    job?: { trigger_word?: string };
  };
  return (sample?.prompts ?? []).map(({ prompt = "" }) =>
    prompt.replaceAll("[trigger]", () => identity?.trigger_word ?? ""),
  );
}
