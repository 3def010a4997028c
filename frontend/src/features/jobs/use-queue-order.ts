/**
 * Moving waiting jobs: up, down, to the top, to the bottom, or before the one they were dropped on.
 *
 * The page shows the new order at once. The requests go one after the other, in the order of the
 * keys that were pressed; each answer, and the stream, put right what the page guessed.
 */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { applyJob } from "@/api/apply-event";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import { changeShownJobs } from "@/api/shown-jobs";
import type { JobSummary } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";
import { inNewOrder } from "./waiting-order";

interface Move {
  job: JobSummary;
  /** The job that it is to stand before; null for the end. */
  before: number | null;
}

export type MoveJob = (job: JobSummary, before: number | null) => void;

export function useQueueOrder(): MoveJob {
  const client = useQueryClient();
  const { mutate } = useMutation({
    scope: { id: "queue-order" },
    mutationFn: ({ job, before }: Move) => api.moveJob(job.id, before),
    onSuccess: (moved, { job }) => {
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
      applyJob(client, moved, () => {});
    },
    onError: (error) => {
      toastFailure(text.order.move, error);
      void client.invalidateQueries({ queryKey: keys.jobLists });
    },
  });
  return useCallback(
    (job, before) => {
      changeShownJobs(client, (lists) => ({
        ...lists,
        waiting: { ...lists.waiting, items: inNewOrder(lists.waiting.items, job.id, before) },
      }));
      mutate({ job, before });
    },
    [client, mutate],
  );
}
