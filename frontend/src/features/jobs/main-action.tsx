import { Button } from "@mantine/core";
import type { JobSummary } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { QUEUEABLE } from "@/lib/job-states";
import { text } from "@/messages";
import { isMoving, type JobActions } from "./use-job-actions";

interface MainActionProps {
  job: JobSummary;
  actions: JobActions;
  size?: "xs" | "sm";
}

/** The one thing a person most likely wants of a job in its state. */
export function MainAction({ job, actions, size = "sm" }: MainActionProps) {
  if (QUEUEABLE.has(job.status)) {
    return (
      <Button
        variant={job.status === "draft" ? "filled" : "default"}
        size={size}
        loading={isMoving(actions, job)}
        leftSection={<Icon name={job.started_at === null ? "play" : "refresh"} size={15} />}
        onClick={() => actions.queue.mutate(job)}
      >
        {labelOfQueueing(job)}
      </Button>
    );
  }
  const waiting = job.status === "queued";
  return (
    <Button
      variant="default"
      size={size}
      loading={isMoving(actions, job)}
      disabled={job.status === "stopping"}
      leftSection={<Icon name={waiting ? "close" : "stop"} size={15} />}
      onClick={() => actions.stop.mutate(job)}
    >
      {waiting ? text.actions.unqueue : text.actions.stop}
    </Button>
  );
}

function labelOfQueueing(job: JobSummary): string {
  if (job.started_at === null) {
    return text.actions.queue;
  }
  // A stopped run has saved its step; a failed one may have nothing to go on from.
  return job.status === "stopped" || job.status === "interrupted"
    ? text.actions.resume
    : text.actions.queueAgain;
}
