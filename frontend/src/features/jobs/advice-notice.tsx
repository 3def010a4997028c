import { keepPreviousData, useQuery } from "@tanstack/react-query";
import {
  checkpointsQuery,
  fineContrastQuery,
  measurementsQuery,
  samplesQuery,
} from "@/api/queries";
import type { Job, Sample } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { text } from "@/messages";
import { distanceAdvice } from "./distance-advice";
import { ringingAdvice } from "./ringing-advice";
import { adviceFor } from "./training-advice";

/** Advice from what was measured and drawn; nothing where nothing was, or all is well. */
export function AdviceNotice({ job }: { job: Job }) {
  const measurements = useQuery(measurementsQuery(job.id)).data;
  const checkpoints = useQuery(checkpointsQuery(job.id)).data ?? [];
  const samples = useQuery(samplesQuery(job.id)).data ?? [];
  // While it draws, the newest column of samples is not whole.
  const newest = job.phase === "sample" ? null : newestTrained(samples);
  const contrast = useQuery({
    ...fineContrastQuery(job.id, newest),
    placeholderData: keepPreviousData,
  }).data;
  const rings = contrast === undefined ? null : ringingAdvice(contrast, job.config);
  // Until they are here it is not known whether the probe has the last word.
  if (measurements === undefined) {
    return null;
  }
  const totalSteps = job.total_steps;
  const advice = [
    ...distanceAdvice({ samples: contrast?.samples ?? [], measurements, checkpoints, totalSteps }),
    ...adviceFor(measurements, totalSteps),
    ...(rings === null ? [] : [rings]),
  ];
  if (advice.length === 0) {
    return null;
  }
  return (
    <Notice tone="warn" title={text.advice.title}>
      {advice.map(({ key, message, cure }) => (
        <p key={key}>
          <strong>{message}</strong> {cure}
        </p>
      ))}
    </Notice>
  );
}

/** The last drawn of the newest step, which tells one state of the samples from the next. */
function newestTrained(samples: Sample[]): number | null {
  const there = samples.filter(({ superseded_by, step }) => superseded_by === null && step > 0);
  const last = Math.max(...there.map(({ step }) => step));
  const ids = there.filter(({ step }) => step === last).map(({ id }) => id);
  return ids.length === 0 ? null : Math.max(...ids);
}
