import type { JobSummary } from "@/api/types";
import { ProgressBar } from "@/components/ui/progress-bar";
import { formatPercent } from "@/lib/format";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";
import classes from "./phase-line.module.css";

/** What it is doing, in words; how far the whole is, as a bar. A completed job needs neither. */
export function PhaseLine({ job, withPercent = true }: { job: JobSummary; withPercent?: boolean }) {
  const total = job.total_steps ?? 0;
  const active = ACTIVE.has(job.status);
  if (job.status === "completed") {
    return null;
  }
  return (
    <div className={classes.phase}>
      <ProgressBar
        label={text.job.progressOf(job.training_name)}
        done={job.step}
        total={total}
        active={active}
      />
      {active && (
        <p className={classes.line}>
          <span className={classes.words}>{phaseInWords(job)}</span>
          {withPercent && <span className="num">{formatPercent(job.step, total)}</span>}
        </p>
      )}
    </div>
  );
}

function phaseInWords(job: JobSummary): string {
  if (job.phase === null) {
    return text.status[job.status];
  }
  const phase = text.phase[job.phase] ?? job.phase;
  if (job.phase === "train" || job.progress === null || job.progress.total <= 1) {
    return phase;
  }
  return `${phase}, ${job.progress.done} / ${job.progress.total}`;
}
