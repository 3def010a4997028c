import { Button } from "@mantine/core";
import { type ReactNode, useState } from "react";
import type { JobSummary } from "@/api/types";
import { ACTIVE, FINISHED } from "@/lib/job-states";
import { text } from "@/messages";
import { JobRow } from "./job-row";
import classes from "./queue-sections.module.css";
import { RunningCard } from "./running-card";
import { useJobActions } from "./use-job-actions";

const ROWS_AT_FIRST = 25;

/** All jobs, by what can be expected of them: at work, waiting, being written, over. */
export function QueueSections({ jobs }: { jobs: JobSummary[] }) {
  const actions = useJobActions();
  const running = jobs.filter((job) => ACTIVE.has(job.status));
  const waiting = jobs
    .filter((job) => job.status === "queued")
    .sort((a, b) => (a.queue_position ?? 0) - (b.queue_position ?? 0));
  const drafts = jobs.filter((job) => job.status === "draft");
  const finished = jobs
    .filter((job) => FINISHED.has(job.status))
    .sort((a, b) => (b.finished_at ?? "").localeCompare(a.finished_at ?? ""));

  return (
    <div className={classes.sections}>
      <Section title={text.queue.running} count={running.length}>
        {running.length === 0 ? (
          <p className={classes.none}>{text.queue.nothingRunning}</p>
        ) : (
          <div className={classes.cards}>
            {running.map((job) => (
              <RunningCard key={job.id} job={job} actions={actions} />
            ))}
          </div>
        )}
      </Section>
      <Section title={text.queue.waiting} count={waiting.length}>
        <Rows jobs={waiting} actions={actions} none={text.queue.nothingWaiting} />
      </Section>
      {drafts.length > 0 && (
        <Section title={text.queue.drafts} count={drafts.length}>
          <Rows jobs={drafts} actions={actions} none="" />
        </Section>
      )}
      <Section title={text.queue.finished} count={finished.length}>
        <Rows jobs={finished} actions={actions} none={text.queue.nothingFinished} />
      </Section>
    </div>
  );
}

interface SectionProps {
  title: string;
  count: number;
  children: ReactNode;
}

function Section({ title, count, children }: SectionProps) {
  return (
    <section aria-label={title}>
      <h2 className={classes.title}>
        {title}
        <span className={classes.count}>{count}</span>
      </h2>
      {children}
    </section>
  );
}

interface RowsProps {
  jobs: JobSummary[];
  actions: ReturnType<typeof useJobActions>;
  none: string;
}

function Rows({ jobs, actions, none }: RowsProps) {
  const [shown, setShown] = useState(ROWS_AT_FIRST);
  if (jobs.length === 0) {
    return <p className={classes.none}>{none}</p>;
  }
  return (
    <div className={classes.rows}>
      {jobs.slice(0, shown).map((job) => (
        <JobRow key={job.id} job={job} actions={actions} />
      ))}
      {jobs.length > shown && (
        <Button
          variant="subtle"
          fullWidth
          radius={0}
          onClick={() => setShown((before) => before + 4 * ROWS_AT_FIRST)}
        >
          {text.queue.showMore(Math.min(jobs.length - shown, 4 * ROWS_AT_FIRST))}
        </Button>
      )}
    </div>
  );
}
