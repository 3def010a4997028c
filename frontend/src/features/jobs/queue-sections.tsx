import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import {
  fetchMoreJobs,
  type JobList,
  type JobLists,
  type JobSection,
  withPage,
} from "@/api/job-lists";
import { keys } from "@/api/queries";
import { announce } from "@/components/ui/announcer";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";
import { JobRow } from "./job-row";
import classes from "./queue-sections.module.css";
import { RunningCard } from "./running-card";
import { type JobActions, useJobActions } from "./use-job-actions";

/** All jobs, by what can be expected of them: at work, waiting, being written, over. */
export function QueueSections({ lists }: { lists: JobLists }) {
  const actions = useJobActions();
  return (
    <div className={classes.sections}>
      <Section title={text.queue.running} list={lists.running} none={text.queue.nothingRunning}>
        <div className={classes.cards}>
          {lists.running.items.map((job) => (
            <RunningCard key={job.id} job={job} actions={actions} />
          ))}
        </div>
      </Section>
      <Section title={text.queue.waiting} list={lists.waiting} none={text.queue.nothingWaiting}>
        <Rows section="waiting" list={lists.waiting} actions={actions} />
      </Section>
      {lists.drafts.items.length > 0 && (
        <Section title={text.queue.drafts} list={lists.drafts} none="">
          <Rows section="drafts" list={lists.drafts} actions={actions} />
        </Section>
      )}
      <Section title={text.queue.finished} list={lists.finished} none={text.queue.nothingFinished}>
        <Rows section="finished" list={lists.finished} actions={actions} />
      </Section>
    </div>
  );
}

interface SectionProps {
  title: string;
  list: JobList;
  none: string;
  children: ReactNode;
}

function Section({ title, list, none, children }: SectionProps) {
  const count = list.items.length;
  return (
    <section aria-label={title}>
      <h2 className={classes.title}>
        {title}
        <span className={classes.count}>
          {list.next === null ? count : text.queue.atLeast(count)}
        </span>
      </h2>
      {count === 0 ? <p className={classes.none}>{none}</p> : children}
    </section>
  );
}

interface RowsProps {
  section: JobSection;
  list: JobList;
  actions: JobActions;
}

function Rows({ section, list, actions }: RowsProps) {
  const more = useMore(section);
  const { items, next } = list;
  return (
    <div className={classes.rows}>
      {items.map((job) => (
        <JobRow key={job.id} job={job} actions={actions} />
      ))}
      {next !== null && (
        <Button
          variant="subtle"
          fullWidth
          radius={0}
          loading={more.isPending}
          onClick={() => more.mutate(next)}
        >
          {text.queue.showMore}
        </Button>
      )}
    </div>
  );
}

/** Fetch a section's next page, behind the cursor, and put it under what is there. */
function useMore(section: JobSection) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (after: string) => fetchMoreJobs(section, after),
    onSuccess: (page) => {
      client.setQueryData<JobLists>(keys.jobs, (lists) => lists && withPage(lists, section, page));
      announce(text.queue.shownMore(page.items.length));
    },
    onError: (error) => toastFailure(text.queue.showMore, error),
  });
}
