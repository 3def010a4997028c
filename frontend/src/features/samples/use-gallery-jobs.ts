import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { previewQuery } from "@/api/queries";
import type { Job, Sample } from "@/api/types";
import { text } from "@/messages";
import { failuresOf, type GalleryJob } from "./gallery-model";
import { drawingOf, hasDrawnOfRound, isAtRound, placeOfPreview, roundOf } from "./gallery-round";

export interface JobWithSamples {
  id: number;
  job: Job | undefined;
  samples: Sample[];
}

/**
 * Jobs as a gallery takes them. The same object while a picture is drawn and steps are trained:
 * a gallery of two thousand pictures is laid out when there is another picture, and not for each
 * preview of one.
 */
export function useGalleryJobs(parts: JobWithSamples[]): GalleryJob[] {
  const places = useQueries({
    queries: parts.map(({ id }) => ({ ...previewQuery(id), select: placeOfPreview })),
  }).map(({ data }) => data);
  const jobs = parts.map(({ id, job, samples }, index) => {
    const drawing = drawingOf(places[index], id, job);
    return {
      id,
      name: job?.training_name || text.job.unnamed,
      samples,
      failures: failuresOf(job),
      drawing,
      round: roundOf(job, samples, drawing),
    };
  });
  return useUnchanged(
    jobs,
    parts.flatMap(({ job, samples }, index) => [
      job?.training_name,
      job?.runs,
      job?.config,
      isAtRound(job),
      hasDrawnOfRound(job),
      samples,
      places[index],
    ]),
  );
}

/** Whether there is nothing at all to be seen of a job. */
export function hasNothing({ samples, failures, drawing }: GalleryJob): boolean {
  return samples.length === 0 && failures.length === 0 && !drawing;
}

/** The same object until one of `parts`, of which there may be more or fewer, is another. */
function useUnchanged<Value>(value: Value, parts: unknown[]): Value {
  const [known, setKnown] = useState({ value, parts });
  const isSame =
    known.parts.length === parts.length && known.parts.every((part, at) => part === parts[at]);
  if (!isSame) {
    setKnown({ value, parts });
  }
  return isSame ? known.value : value;
}
