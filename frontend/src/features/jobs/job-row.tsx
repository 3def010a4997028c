import { memo } from "react";
import { Link } from "wouter";
import type { JobSummary } from "@/api/types";
import { StatusPill } from "@/components/ui/status-pill";
import { Thumbnail } from "@/components/ui/thumbnail";
import {
  formatCount,
  formatDuration,
  formatLoss,
  formatMoment,
  joinFacts,
  secondsBetween,
} from "@/lib/format";
import { FINISHED } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { ChooseBox } from "./choose-box";
import { JobMenu } from "./job-menu";
import classes from "./job-row.module.css";
import { MainAction } from "./main-action";
import { OrderHandle } from "./order-handle";
import { RowFailure } from "./row-failure";
import { isMoving, type JobActions } from "./use-job-actions";
import { WaitWords } from "./wait-words";

interface JobRowProps {
  job: JobSummary;
  actions: JobActions;
}

/** A job that waits, is being written, or is over: one line. A step of one job draws no other anew. */
export const JobRow = memo(
  Row,
  (before, now) =>
    before.job === now.job && isMoving(before.actions, now.job) === isMoving(now.actions, now.job),
);

function Row({ job, actions }: JobRowProps) {
  const name = job.training_name || text.job.unnamed;
  const address = job.status === "draft" ? paths.editJob(job.id) : paths.job(job.id);
  return (
    <article className={classes.row} data-job-id={job.id} data-status={job.status}>
      <div className={classes.grips}>
        <ChooseBox job={job} />
        <OrderHandle job={job} />
      </div>
      <Thumbnail src={job.thumbnail_url} alt="" size={56} />
      <div className={classes.main}>
        <h3 className={classes.name}>
          <Link href={address}>{name}</Link>
          {job.status === "queued" && job.priority !== 0 && (
            <span className={classes.priority} data-priority={job.priority}>
              {text.priority.names[job.priority]}
            </span>
          )}
        </h3>
        <p className={classes.facts}>
          {joinFacts(factsOf(job))}
          {job.waits_for !== null && (
            <>
              {" · "}
              <WaitWords job={job} />
            </>
          )}
        </p>
        {job.error !== null && (job.status === "failed" || job.status === "interrupted") && (
          <RowFailure job={job} error={job.error} />
        )}
      </div>
      <div className={classes.state}>
        <StatusPill status={job.status} />
      </div>
      <div className={classes.actions}>
        <MainAction job={job} actions={actions} size="xs" />
        <JobMenu job={job} actions={actions} />
      </div>
    </article>
  );
}

function factsOf(job: JobSummary): string[] {
  const facts: string[] = [];
  if (job.queue_position !== null) {
    facts.push(job.queue_position === 1 ? text.job.next : text.job.position(job.queue_position));
  }
  if (job.architecture !== null) {
    facts.push(job.architecture);
  }
  if (FINISHED.has(job.status)) {
    facts.push(text.job.steps(formatCount(job.step), formatCount(job.total_steps)));
    if (job.loss !== null) {
      facts.push(text.job.lossOf(formatLoss(job.loss)));
    }
    const took = secondsBetween(job.started_at, job.finished_at);
    if (took !== null) {
      facts.push(formatDuration(took));
    }
    facts.push(formatMoment(job.finished_at));
  } else if (job.total_steps !== null) {
    facts.push(text.job.allSteps(formatCount(job.total_steps)));
  }
  return facts;
}
