/** The lists of jobs in the query cache, whatever filter each was fetched with. */

import type { QueryClient } from "@tanstack/react-query";
import { findJob, type JobFilter, type JobLists } from "./job-lists";
import { askAgainIfAsking } from "./late-answers";
import { keys } from "./queries";
import type { JobSummary } from "./types";

/** Change every list that was fetched; `change` is told what it was filtered by. */
export function changeShownJobs(
  client: QueryClient,
  change: (lists: JobLists, filter: JobFilter) => JobLists,
): void {
  for (const { queryKey } of client.getQueryCache().findAll({ queryKey: keys.jobLists })) {
    const filter = queryKey[keys.jobLists.length] as JobFilter;
    client.setQueryData<JobLists>(queryKey, (lists) => lists && change(lists, filter));
    // An answer that was read before and comes after would hide what was told.
    askAgainIfAsking(client, queryKey);
  }
}

/** A job as some list shows it. */
export function shownJob(client: QueryClient, id: number): JobSummary | undefined {
  for (const [, lists] of client.getQueriesData<JobLists>({ queryKey: keys.jobLists })) {
    const job = findJob(lists, id);
    if (job !== undefined) {
      return job;
    }
  }
  return undefined;
}
