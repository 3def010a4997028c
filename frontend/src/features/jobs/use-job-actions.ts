import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { type JobLists, withoutJob } from "@/api/job-lists";
import { keys } from "@/api/queries";
import type { Job, JobSummary } from "@/api/types";
import { toast, toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

type Named = Pick<JobSummary, "id" | "training_name" | "status">;

/** What can be done to a job. The stream brings the result; the answer only brings it sooner. */
export function useJobActions() {
  const client = useQueryClient();

  const keep = (job: Job) => {
    client.setQueryData<Job>(keys.job(job.id), job);
    void client.invalidateQueries({ queryKey: keys.jobs });
  };

  const queue = useMutation({
    mutationFn: (job: Named) => api.queueJob(job.id),
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

  const remove = useMutation({
    mutationFn: ({ job, files }: { job: Named; files: boolean }) => api.deleteJob(job.id, files),
    onSuccess: (later, { job }) => {
      if (later !== undefined) {
        void client.invalidateQueries({ queryKey: keys.jobs });
        toast(text.actions.deletedLater(job.training_name));
        return;
      }
      client.setQueryData<JobLists>(keys.jobs, (lists) => lists && withoutJob(lists, job.id));
      client.removeQueries({ queryKey: keys.job(job.id) });
      toast(text.actions.deleted(job.training_name || text.job.unnamed));
    },
    onError: (error) => toastFailure(text.actions.delete, error),
  });

  return { queue, stop, command, remove };
}

export type JobActions = ReturnType<typeof useJobActions>;

/** Whether this job is being queued or stopped at the moment. */
export function isMoving({ queue, stop }: JobActions, job: Named): boolean {
  return [queue, stop].some(({ isPending, variables }) => isPending && variables?.id === job.id);
}
