import type { ReactNode } from "react";
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

interface JobFiguresProps {
  job: JobSummary;
  /** More figures, at the end. */
  children?: ReactNode;
}

/** Step, loss, pace, and when it ends or ended. */
export function JobFigures({ job, children }: JobFiguresProps) {
  const active = ACTIVE.has(job.status);
  return (
    <Stats>
      <Stat label={text.job.step}>
        {text.job.stepOf(formatCount(job.step), formatCount(job.total_steps))}
      </Stat>
      <Stat label={text.job.loss}>{formatLoss(job.loss)}</Stat>
      <Stat label={text.job.stepTime}>{paceOf(job)}</Stat>
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
      {children}
    </Stats>
  );
}

/** The steps' time now; beside it the run's best, where it is another. */
function paceOf({ step_seconds, best_step_seconds }: JobSummary): string {
  const now = formatStepTime(step_seconds);
  const best = formatStepTime(best_step_seconds);
  return step_seconds === null || best_step_seconds === null || best === now
    ? now
    : text.job.stepTimeWithBest(now, best);
}

/** The estimate counts from the moment it was made, so that the clock time stands still. */
function finishOf(job: JobSummary): Date | null {
  return job.eta_seconds === null
    ? null
    : new Date(Date.parse(job.updated_at) + job.eta_seconds * 1000);
}
