import { Button } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "wouter";
import { hasNoJobs, isFiltered, type JobFilter, type JobLists } from "@/api/job-lists";
import { useTopics } from "@/api/live";
import {
  datasetsQuery,
  jobSchemaQuery,
  jobsQuery,
  keys,
  queueQuery,
  systemQuery,
} from "@/api/queries";
import type { JobConfigValue, QueueState } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { Empty } from "@/components/ui/empty";
import { ErrorBoundary } from "@/components/ui/error-boundary";
import { Icon } from "@/components/ui/icons";
import { PageHeader } from "@/components/ui/page-header";
import { QueryFailure, QueryView } from "@/components/ui/query-view";
import { FirstVisit } from "@/features/jobs/first-visit";
import { markOfQueue, useGlance } from "@/features/jobs/glance";
import { QueueFilter } from "@/features/jobs/queue-filter";
import { QueueSections } from "@/features/jobs/queue-sections";
import { QueueSummary } from "@/features/jobs/queue-summary";
import { SelectionProvider } from "@/features/jobs/selection";
import { SelectionBar } from "@/features/jobs/selection-bar";
import { useJobFilter } from "@/features/jobs/use-job-filter";
import { DeviceCards } from "@/features/system/device-cards";
import { PauseButton, PausedNotice } from "@/features/system/queue-pause";
import { WHOLE_QUEUE } from "@/features/system/use-pause";
import { WorkerBanner } from "@/features/system/worker-banner";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./pages.module.css";

export function QueuePage() {
  useTopics("queue", "system");
  const [filter, changeFilter] = useJobFilter();
  const jobs = useQuery({ ...jobsQuery(filter), placeholderData: keepPreviousData });
  const system = useQuery(systemQuery);
  const counted = useQuery(queueQuery);
  const queue = counted.data;
  // What a search before this one did not find says nothing of what there is.
  const isKnown = jobs.data !== undefined && !jobs.isPlaceholderData;
  const isFirstVisit = isKnown && !isFiltered(filter) && hasNoJobs(jobs.data);

  return (
    <>
      <PageHeader
        title={text.queue.title}
        lead={
          queue && <QueueSummary queue={queue} onChoose={(status) => changeFilter({ status })} />
        }
        actions={
          !isFirstVisit && (
            <>
              {queue && <PauseButton queue={queue} />}
              <Button
                component={Link}
                href={paths.trash}
                variant="default"
                leftSection={<Icon name="trash" size={15} />}
              >
                {text.trash.open}
              </Button>
            </>
          )
        }
      />
      <div className={classes.stack}>
        {system.data && <WorkerBanner system={system.data} />}
        {queue && <PausedNotice queue={queue} />}
        <QueryFailure query={counted} title={text.queue.stateMissing} />
        <ErrorBoundary>
          <QueryView query={system} loading={132}>
            {(state) => <DeviceCards system={state} />}
          </QueryView>
        </ErrorBoundary>
        {!isFirstVisit && <QueueFilter filter={filter} onChange={changeFilter} />}
        <QueryView query={jobs} loading={320}>
          {(lists) =>
            isFirstVisit ? (
              <ExplainedQueue />
            ) : (
              <Jobs
                lists={lists}
                filter={filter}
                numJobs={queue?.num_jobs ?? {}}
                isPaused={queue?.paused.includes(WHOLE_QUEUE) ?? false}
                isFetching={jobs.isPlaceholderData}
              />
            )
          }
        </QueryView>
      </div>
    </>
  );
}

function datasetsOf({ datasets }: JobConfigValue): string[] {
  const given = Array.isArray(datasets) ? (datasets as { target_dataset: string }[]) : [];
  return [...new Set(given.map(({ target_dataset }) => target_dataset))];
}

function ExplainedQueue() {
  const schema = useQuery(jobSchemaQuery);
  const example = schema.data?.example ?? null;
  const needed = example === null ? [] : datasetsOf(example);
  const datasets = useQuery({ ...datasetsQuery, enabled: needed.length > 0 });
  const isKnown = example !== null && !datasets.isLoading;
  // Where the folder cannot be read, the form says what is the matter with it.
  const here = datasets.data?.map(({ name }) => name) ?? needed;
  const missing = needed.filter((name) => !here.includes(name));
  return (
    <>
      <FirstVisit example={isKnown ? { missing } : null} />
      <QueryFailure query={schema} title={text.queue.exampleMissed} />
    </>
  );
}

interface JobsProps {
  lists: JobLists;
  filter: JobFilter;
  numJobs: QueueState["num_jobs"];
  isPaused: boolean;
  isFetching: boolean;
}

function Jobs({ lists, filter, numJobs, isPaused, isFetching }: JobsProps) {
  const filtered = isFiltered(filter);
  const mark = filtered ? null : markOfQueue(lists, numJobs, isPaused);
  useGlance(mark, [keys.jobLists, keys.queue]);
  const sections = Object.values(lists);
  const count = sections.reduce((sum, { items }) => sum + items.length, 0);
  const isMore = sections.some(({ next }) => next !== null);
  const found = filtered && !isFetching ? text.find.found(count, isMore) : null;
  useEffect(() => {
    if (found !== null) {
      announce(found);
    }
  }, [found]);

  return (
    <SelectionProvider>
      <div className={classes.stack} style={{ gap: 32 }} aria-busy={isFetching}>
        {filtered && count === 0 && !isFetching ? (
          <Empty icon="zoom" title={text.find.none} />
        ) : (
          <QueueSections lists={lists} filter={filter} />
        )}
        <SelectionBar lists={lists} />
      </div>
    </SelectionProvider>
  );
}
