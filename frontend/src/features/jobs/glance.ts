/** How the queue, or one job, stands: in the window's title and picture. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { type JobLists, statusesOf } from "@/api/job-lists";
import type { JobSummary, QueueState } from "@/api/types";
import { type Mark, setPageMark } from "@/components/ui/page-title";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";

/**
 * What the whole queue comes to: what runs, else what keeps it from running. The lists hold jobs only
 * as far as they are shown; how many there are, the queue says.
 */
export function markOfQueue(
  lists: JobLists,
  numJobs: QueueState["num_jobs"],
  isPaused: boolean,
): Mark | null {
  const running = lists.running.items;
  const [only, ...others] = running;
  if (only !== undefined && others.length === 0) {
    return markOfJob(only);
  }
  if (only !== undefined) {
    const count = statusesOf("active").reduce((sum, one) => sum + (numJobs[one] ?? 0), 0);
    const several = text.glance.several(Math.max(count, running.length));
    return { words: several, picture: "running", percent: null };
  }
  if (isPaused) {
    return { words: text.glance.paused, picture: "paused", percent: null };
  }
  const waiting = numJobs.queued ?? 0;
  if (waiting > 0) {
    return { words: text.glance.waiting(waiting), picture: "waiting", percent: null };
  }
  const last = lists.finished.items[0];
  return last?.status === "failed" ? markOfJob(last) : null;
}

export function markOfJob(job: JobSummary): Mark | null {
  if (ACTIVE.has(job.status)) {
    const total = job.total_steps ?? 0;
    const percent = total > 0 ? Math.floor((100 * job.step) / total) : null;
    const words = percent === null ? text.glance.starting : text.glance.running(percent);
    return { words, picture: "running", percent };
  }
  switch (job.status) {
    case "failed":
      return { words: text.glance.failed, picture: "failed", percent: null };
    case "interrupted":
      return { words: text.glance.interrupted, picture: "failed", percent: null };
    case "completed":
      return { words: text.glance.completed, picture: "completed", percent: 100 };
    default:
      return null;
  }
}

/** Timers of hidden tabs are slowed down by browsers anyhow. */
const HIDDEN_MS = 30_000;

/**
 * Show the mark while the component is on the page. A hidden tab has no stream: `queryKeys` are
 * then fetched twice a minute, for the title is all that is seen of it. `exact`: those queries alone,
 * without others whose keys begin like theirs.
 */
export function useGlance(
  mark: Mark | null,
  queryKeys: readonly (readonly unknown[])[],
  { exact = false }: { exact?: boolean } = {},
): void {
  const client = useQueryClient();
  // A mark that says the same changes nothing, so that this may be called with a new one each time.
  useEffect(() => setPageMark(mark));
  useEffect(() => () => setPageMark(null), []);
  const asked = JSON.stringify(queryKeys);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === "hidden") {
        for (const queryKey of JSON.parse(asked)) {
          void client.refetchQueries({ queryKey, exact, type: "active" });
        }
      }
    }, HIDDEN_MS);
    return () => clearInterval(timer);
  }, [client, asked, exact]);
}
