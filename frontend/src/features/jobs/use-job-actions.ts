import { useMutation, useQueryClient } from "@tanstack/react-query";
import { applyJob } from "@/api/apply-event";
import { api } from "@/api/client";
import { withoutJob } from "@/api/job-lists";
import { keys } from "@/api/queries";
import { changeShownJobs } from "@/api/shown-jobs";
import type { Job, JobSummary, PlaceChange } from "@/api/types";
import { toast, toastFailure, toastWithUndo } from "@/components/ui/toast";
import { text } from "@/messages";
import { useUndoDelete } from "./use-undo-delete";

type Named = Pick<JobSummary, "id" | "training_name" | "status" | "started_at">;

/** What can be done to a job. The stream brings the result; the answer only brings it sooner. */
export function useJobActions() {
  const client = useQueryClient();
  const undoDelete = useUndoDelete();

  const keep = (job: Job) => {
    applyJob(client, job, () => {});
    client.setQueryData<Job>(keys.job(job.id), job);
  };

  const queue = useMutation({
    mutationFn: (job: Named & { fromStep?: number }) => api.queueJob(job.id, job.fromStep),
    onSuccess: (job) => {
      keep(job);
      toast(text.actions.queued(job.training_name));
    },
    onError: (error) => toastFailure(text.actions.queue, error),
  });

  const stop = useMutation({
    mutationFn: (job: Named) => api.stopJob(job.id),
    onSuccess: (job, before) => {
      keep(job);
      const sentence = before.status === "queued" ? text.actions.unqueued : text.actions.stopping;
      toast(sentence(job.training_name));
    },
    onError: (error) => toastFailure(text.actions.stop, error),
  });

  const command = useMutation({
    mutationFn: ({ id, command }: { id: number; command: "save" | "sample" }) =>
      api.commandJob(id, command),
    onSuccess: (_, { command }) =>
      toast(command === "save" ? text.actions.saving : text.actions.sampling),
    onError: (error, { command }) =>
      toastFailure(command === "save" ? text.actions.saveNow : text.actions.sampleNow, error),
  });

  const place = useMutation({
    mutationFn: ({ job, change }: { job: Named; change: PlaceChange }) =>
      api.placeJob(job.id, change),
    onSuccess: (job) => {
      keep(job);
      toast(text.schedule.saved(job.training_name));
    },
    onError: (error) => toastFailure(text.schedule.change, error),
  });

  const remove = useMutation({
    mutationFn: ({ job, files }: { job: Named; files: boolean }) => api.deleteJob(job.id, files),
    onSuccess: (later, { job, files }) => {
      if (later !== undefined) {
        void client.invalidateQueries({ queryKey: keys.jobs });
        toast(text.actions.deletedLater(job.training_name));
        return;
      }
      changeShownJobs(client, (lists) => withoutJob(lists, job.id));
      client.removeQueries({ queryKey: keys.job(job.id) });
      void client.invalidateQueries({ queryKey: keys.trash });
      toastWithUndo(text.actions.deleted(job.training_name || text.job.unnamed), () =>
        undoDelete([{ name: job.training_name, isInTrash: files || job.started_at === null }]),
      );
    },
    onError: (error) => toastFailure(text.actions.delete, error),
  });

  return { queue, stop, command, place, remove };
}

export type JobActions = ReturnType<typeof useJobActions>;

/** Whether this job is being queued or stopped at the moment. */
export function isMoving({ queue, stop }: JobActions, job: Pick<JobSummary, "id">): boolean {
  return [queue, stop].some(({ isPending, variables }) => isPending && variables?.id === job.id);
}
