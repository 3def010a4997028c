import type { JobSummary } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { formatMoment } from "@/lib/format";
import { text } from "@/messages";

/** What the worker warns of while the job runs: what, since when, the likely cause. */
export function AlarmList({ job }: { job: JobSummary }) {
  if (job.alarms.length === 0) {
    return null;
  }
  return (
    <Notice tone="warn" title={text.alarms.title(job.alarms.length)}>
      {job.alarms.map((alarm) => (
        <p key={alarm.code}>
          <strong>{alarm.message}</strong> {alarm.hint}
          {typeof alarm.params?.began_at === "string" && (
            <> {text.alarms.since(formatMoment(alarm.params.began_at))}.</>
          )}
        </p>
      ))}
    </Notice>
  );
}
