import type { JobSummary } from "@/api/types";
import { Stat, Stats } from "@/components/ui/stat";
import {
  formatCount,
  formatDuration,
  formatLoss,
  formatMoment,
  formatStepTime,
  secondsBetween,
} from "@/lib/format";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";

/** Step, loss, pace, and when it ends or ended. */
export function JobFigures({ job }: { job: JobSummary }) {
  const active = ACTIVE.has(job.status);
  return (
    <Stats>
      <Stat label={text.job.step}>
        {text.job.stepOf(formatCount(job.step), formatCount(job.total_steps))}
      </Stat>
      <Stat label={text.job.loss}>{formatLoss(job.loss)}</Stat>
      <Stat label={text.job.stepTime}>{formatStepTime(job.step_seconds)}</Stat>
      {active ? (
        <>
          <Stat label={text.job.eta}>{formatDuration(job.eta_seconds)}</Stat>
          <Stat label={text.job.finishes}>{formatMoment(finishOf(job))}</Stat>
        </>
      ) : (
        <>
          <Stat label={text.job.duration}>
            {formatDuration(secondsBetween(job.started_at, job.finished_at))}
          </Stat>
          <Stat label={text.job.finished}>{formatMoment(job.finished_at)}</Stat>
        </>
      )}
    </Stats>
  );
}

/** The estimate counts from the moment it was made, so that the clock time stands still. */
function finishOf(job: JobSummary): Date | null {
  return job.eta_seconds === null
    ? null
    : new Date(Date.parse(job.updated_at) + job.eta_seconds * 1000);
}
