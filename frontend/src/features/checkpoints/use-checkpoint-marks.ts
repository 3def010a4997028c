import { useMutation, useQueryClient } from "@tanstack/react-query";
import { applyCheckpoint } from "@/api/apply-event";
import { api, type CheckpointMarks } from "@/api/client";
import type { Checkpoint } from "@/api/types";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

/** Pins, stars and notes. */
export function useCheckpointMarks(
  jobId: number,
): (checkpoint: Checkpoint, marks: CheckpointMarks) => void {
  const client = useQueryClient();
  const { mutate } = useMutation({
    mutationFn: ({ checkpoint, marks }: { checkpoint: Checkpoint; marks: CheckpointMarks }) =>
      api.markCheckpoint(jobId, checkpoint.id, marks),
    onSuccess: (answer) => applyCheckpoint(client, jobId, answer),
    onError: (error) => toastFailure(text.checkpoints.marking, error),
  });
  return (checkpoint, marks) => mutate({ checkpoint, marks });
}
