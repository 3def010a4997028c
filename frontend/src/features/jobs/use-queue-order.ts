/**
 * Moving waiting jobs: up, down, to the top, to the bottom, or before the one they were dropped on.
 *
 * The page shows the new order at once. The requests go one after the other, in the order of the
 * keys that were pressed. Until the last is answered, the stream tells of the earlier ones, which is
 * an order that the person at the keys has left behind: so what the page shows is the server's order
 * with every unanswered move made in it once more. A move that the server knows already changes
 * nothing when it is repeated; one that it refuses is no longer repeated, and its row is back.
 */

import {
  type QueryClient,
  useMutation,
  useMutationState,
  useQueryClient,
} from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { applyJob } from "@/api/apply-event";
import { api } from "@/api/client";
import type { JobFilter, JobList } from "@/api/job-lists";
import { jobsQuery, keys } from "@/api/queries";
import { changeShownJobs } from "@/api/shown-jobs";
import type { JobSummary } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";
import { inNewOrder, withMoves } from "./waiting-order";

interface MoveOfJob {
  job: JobSummary;
  /** The job that it is to stand before; null for the end. */
  before: number | null;
}

export type MoveJob = (job: JobSummary, before: number | null) => void;

const unanswered = { mutationKey: ["queue-order"], status: "pending" as const };

export function useQueueOrder(): MoveJob {
  const client = useQueryClient();
  const { mutate } = useMutation({
    mutationKey: unanswered.mutationKey,
    scope: { id: "queue-order" },
    mutationFn: ({ job, before }: MoveOfJob) => api.moveJob(job.id, before),
    onSuccess: (moved, { job, before }) => {
      const { training_name, queue_position, priority } = moved;
      announce(
        priority === job.priority
          ? text.order.moved(training_name, queue_position)
          : text.order.movedTo(
              training_name,
              queue_position,
              text.priority.names[priority] ?? String(priority),
            ),
      );
      // The answer is about this job; where the others are now, the stream has yet to say.
      changeShownJobs(client, (lists) => ({
        ...lists,
        waiting: { ...lists.waiting, items: inNewOrder(lists.waiting.items, job.id, before) },
      }));
      applyJob(client, moved, () => {});
    },
    onError: (error) => {
      toastFailure(text.order.move, error);
      void client.invalidateQueries({ queryKey: keys.jobLists });
    },
  });
  return useCallback((job, before) => mutate({ job, before }), [mutate]);
}

/** The waiting list with the moves that the server has not answered yet. */
export function useShownOrder(list: JobList): JobList {
  const moves = useMutationState({
    filters: unanswered,
    select: ({ state }) => asMove(state.variables as MoveOfJob),
  });
  return useMemo(() => withMoves(list, moves), [list, moves]);
}

/** The same as it is at this moment, for a key that is pressed before the page is drawn anew. */
export function shownOrder(client: QueryClient, filter: JobFilter): JobList {
  const list = client.getQueryData(jobsQuery(filter).queryKey)?.waiting ?? {
    items: [],
    next: null,
  };
  const moves = client.getMutationCache().findAll(unanswered);
  return withMoves(
    list,
    moves.map(({ state }) => asMove(state.variables as MoveOfJob)),
  );
}

function asMove({ job, before }: MoveOfJob) {
  return { id: job.id, before };
}
