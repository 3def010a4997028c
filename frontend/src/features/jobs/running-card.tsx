import { Link } from "wouter";
import type { JobSummary } from "@/api/types";
import { StatusPill } from "@/components/ui/status-pill";
import { Thumbnail } from "@/components/ui/thumbnail";
import { formatPercent } from "@/lib/format";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { AlarmList } from "./alarm-list";
import { ChooseBox } from "./choose-box";
import { JobFigures } from "./job-figures";
import { JobMenu } from "./job-menu";
import { MainAction } from "./main-action";
import { PhaseLine } from "./phase-line";
import classes from "./running-card.module.css";
import type { JobActions } from "./use-job-actions";

/** A job at work, large enough to be read from across the room. */
export function RunningCard({ job, actions }: { job: JobSummary; actions: JobActions }) {
  return (
    <article className={classes.card} data-job-id={job.id} data-alarmed={job.alarms.length > 0}>
      <Link href={paths.job(job.id)} className={classes.picture} tabIndex={-1} aria-hidden="true">
        <Thumbnail src={job.thumbnail_url} alt="" />
      </Link>
      <div className={classes.body}>
        <header className={classes.header}>
          <div className={classes.title}>
            <ChooseBox job={job} />
            <h3 className={classes.name}>
              <Link href={paths.job(job.id)}>{job.training_name}</Link>
            </h3>
          </div>
          <StatusPill status={job.status} />
          <div className={classes.actions}>
            <MainAction job={job} actions={actions} />
            <JobMenu job={job} actions={actions} />
          </div>
        </header>
        <div className={classes.progress}>
          {/* The bar beneath says the same to a reader. */}
          <span className={classes.percent} aria-hidden="true">
            {formatPercent(job.step, job.total_steps ?? 0)}
          </span>
          <PhaseLine job={job} withPercent={false} />
        </div>
        <JobFigures job={job} />
        {job.is_being_deleted && (
          <p className={classes.leaving}>{text.actions.deletedLater(job.training_name)}</p>
        )}
        <AlarmList job={job} />
      </div>
    </article>
  );
}
