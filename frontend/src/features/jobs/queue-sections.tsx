import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useMemo } from "react";
import {
  fetchMoreJobs,
  isFiltered,
  isInSight,
  type JobFilter,
  type JobList,
  type JobLists,
  type JobSection,
  withPage,
} from "@/api/job-lists";
import { jobsQuery, keys, queueQuery } from "@/api/queries";
import type { JobStatus } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";
import { ChooseAllBox } from "./choose-box";
import { JobRow } from "./job-row";
import { OrderContext } from "./order-handle";
import classes from "./queue-sections.module.css";
import { RunningCard } from "./running-card";
import { type JobActions, useJobActions } from "./use-job-actions";
import { useNextMoment } from "./use-next-moment";
import { shownOrder, useQueueOrder, useShownOrder } from "./use-queue-order";

interface QueueSectionsProps {
  lists: JobLists;
  filter: JobFilter;
}

/** All jobs, by what can be expected of them: at work, waiting, being written, over. */
export function QueueSections({ lists: told, filter }: QueueSectionsProps) {
  const actions = useJobActions();
  const waiting = useShownOrder(told.waiting);
  const lists = { ...told, waiting };
  const order = useWaitingOrder(filter);
  const counts = useQuery(queueQuery).data?.num_jobs;
  useNextMoment(lists.scheduled.items, keys.jobLists);
  const filtered = isFiltered(filter);

  const countOf = (list: JobList, ...states: JobStatus[]): string => {
    const count = list.items.length;
    if (list.next === null) {
      return String(count);
    }
    const all = states.reduce((sum, state) => sum + (counts?.[state] ?? 0), 0);
    return filtered || all === 0 ? text.queue.atLeast(count) : String(all);
  };
  // A section that a search leaves empty is not there; without a search it says what it is for.
  const shows = (name: JobSection) =>
    filtered ? isInSight(name, filter) && lists[name].items.length > 0 : true;
  const rows = (section: JobSection) => (
    <Rows section={section} filter={filter} list={lists[section]} actions={actions} />
  );

  return (
    <div className={classes.sections}>
      {shows("running") && (
        <Section
          title={text.queue.running}
          list={lists.running}
          count={countOf(lists.running, "starting", "running", "stopping")}
          none={text.queue.nothingRunning}
        >
          <div className={classes.cards} data-job-list="">
            {lists.running.items.map((job) => (
              <RunningCard key={job.id} job={job} actions={actions} />
            ))}
          </div>
        </Section>
      )}
      {shows("waiting") && (
        <Section
          title={text.queue.waiting}
          list={lists.waiting}
          count={countOf(lists.waiting)}
          none={text.queue.nothingWaiting}
        >
          <OrderContext value={order}>{rows("waiting")}</OrderContext>
        </Section>
      )}
      {lists.scheduled.items.length > 0 && (
        <Section
          title={text.queue.scheduled}
          list={lists.scheduled}
          count={countOf(lists.scheduled)}
          none=""
        >
          {rows("scheduled")}
        </Section>
      )}
      {lists.drafts.items.length > 0 && (
        <Section
          title={text.queue.drafts}
          list={lists.drafts}
          count={countOf(lists.drafts, "draft")}
          none=""
        >
          {rows("drafts")}
        </Section>
      )}
      {shows("finished") && (
        <Section
          title={text.queue.finished}
          list={lists.finished}
          count={countOf(lists.finished, "stopped", "completed", "failed", "interrupted")}
          none={text.queue.nothingFinished}
        >
          {rows("finished")}
        </Section>
      )}
    </div>
  );
}

interface SectionProps {
  title: string;
  list: JobList;
  count: string;
  none: string;
  children: ReactNode;
}

function Section({ title, list, count, none, children }: SectionProps) {
  const isEmpty = list.items.length === 0;
  return (
    <section aria-label={title}>
      <div className={classes.head}>
        {!isEmpty && <ChooseAllBox section={title} jobs={list.items} />}
        <h2 className={classes.title}>
          {title}
          <span className={classes.count}>{count}</span>
        </h2>
      </div>
      {isEmpty ? <p className={classes.none}>{none}</p> : children}
    </section>
  );
}

interface RowsProps {
  section: JobSection;
  filter: JobFilter;
  list: JobList;
  actions: JobActions;
}

function Rows({ section, filter, list, actions }: RowsProps) {
  const more = useMore(section, filter);
  const { items, next } = list;
  return (
    <div className={classes.rows} data-job-list="">
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
function useMore(section: JobSection, filter: JobFilter) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (after: string) => fetchMoreJobs(section, filter, after),
    onSuccess: (page) => {
      client.setQueryData(
        jobsQuery(filter).queryKey,
        (lists) => lists && withPage(lists, section, page),
      );
      announce(text.queue.shownMore(page.items.length));
    },
    onError: (error) => toastFailure(text.queue.showMore, error),
  });
}

/** The order of the waiting list, read when it is needed: a row keeps it, and is not drawn anew. */
function useWaitingOrder(filter: JobFilter) {
  const client = useQueryClient();
  const move = useQueueOrder();
  return useMemo(() => ({ list: () => shownOrder(client, filter), move }), [client, filter, move]);
}
