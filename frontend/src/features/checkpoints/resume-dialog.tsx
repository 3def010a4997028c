import { Button, Group } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { Job } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { toast, toastFailure } from "@/components/ui/toast";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";

interface ResumeDialogProps {
  job: Job;
  step: number;
  opened: boolean;
  onClose: () => void;
}

/** Going on from an earlier step makes another branch, and says what becomes of this one. */
export function ResumeDialog({ job, step, opened, onClose }: ResumeDialogProps) {
  const client = useQueryClient();
  const resume = useMutation({
    mutationFn: () => api.queueJob(job.id, step),
    onSuccess: (queued) => {
      client.setQueryData<Job>(keys.job(job.id), queued);
      void client.invalidateQueries({ queryKey: keys.jobs });
      toast(text.actions.queued(job.training_name));
      onClose();
    },
    onError: (error) => toastFailure(text.checkpoints.resume, error),
  });
  const from = formatCount(step);
  return (
    <Dialog opened={opened} onClose={onClose} title={text.checkpoints.resumeTitle(from)}>
      <p style={{ marginTop: 0 }}>
        {job.step > step
          ? text.checkpoints.resumeSetsAside(from, formatCount(job.step))
          : text.checkpoints.resumeGoesOn(from)}
      </p>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose} data-autofocus>
          {text.actions.cancel}
        </Button>
        <Button loading={resume.isPending} onClick={() => resume.mutate()}>
          {text.checkpoints.resumeConfirm}
        </Button>
      </Group>
    </Dialog>
  );
}
