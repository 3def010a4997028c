import { useQuery } from "@tanstack/react-query";
import { measurementsQuery } from "@/api/queries";
import type { Job } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { text } from "@/messages";
import { adviceFor } from "./training-advice";

/** Advice from what was measured; nothing where nothing was, or all is well. */
export function AdviceNotice({ job }: { job: Job }) {
  const measurements = useQuery(measurementsQuery(job.id)).data ?? [];
  const advice = adviceFor(measurements, job.total_steps);
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
