import { ActionIcon, Menu } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";
import { applyCheckpointRemoved } from "@/api/apply-event";
import { api, type CheckpointMarks } from "@/api/client";
import { keys } from "@/api/queries";
import type { Checkpoint, Job } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { toast, toastFailure, toastToRead, toastWithUndo } from "@/components/ui/toast";
import { jobBundle, type LoraFormat, loraFile } from "@/lib/archives";
import { formatCount } from "@/lib/format";
import { ACTIVE } from "@/lib/job-states";
import { saveFile } from "@/lib/save-file";
import { text } from "@/messages";
import classes from "./checkpoints-panel.module.css";

interface CheckpointMenuProps {
  checkpoint: Checkpoint;
  job: Job | undefined;
  jobId: number;
  startFrom: string | null;
  onMark: (checkpoint: Checkpoint, marks: CheckpointMarks) => void;
  onNote: () => void;
}

/** What is done with a checkpoint less often. */
export function CheckpointMenu({
  checkpoint,
  job,
  jobId,
  startFrom,
  onMark,
  onNote,
}: CheckpointMenuProps) {
  const remove = useRemoval(checkpoint, jobId);
  const formats = formatsOf(job);
  const workflow = useWorkflow(checkpoint, jobId, formats.at(-1) ?? "comfyui");
  const step = formatCount(checkpoint.step);
  const isBusy = job === undefined || ACTIVE.has(job.status);
  const reason = job !== undefined && isBusy && (
    <span className={classes.reason}>{text.checkpoints.onceEnded}</span>
  );
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size={32}
          aria-label={
            checkpoint.is_final ? text.checkpoints.moreFinal : text.checkpoints.more(step)
          }
        >
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {formats.map((format) => (
          <Menu.Item
            key={format}
            component="a"
            href={loraFile(checkpoint.url, format)}
            download
            leftSection={<Icon name="download" size={16} />}
          >
            {text.checkpoints.downloadAs[format]}
          </Menu.Item>
        ))}
        <Menu.Item
          leftSection={<Icon name="download" size={16} />}
          onClick={() => workflow.mutate()}
        >
          {text.checkpoints.workflow}
        </Menu.Item>
        {!checkpoint.is_final && (
          <Menu.Item
            component="a"
            href={jobBundle(jobId, checkpoint.step)}
            download
            disabled={isBusy}
            leftSection={<Icon name="save" size={16} />}
          >
            {text.checkpoints.bundle}
            {reason}
          </Menu.Item>
        )}
        {startFrom !== null && (
          <Menu.Item component={Link} href={startFrom} leftSection={<Icon name="plus" size={16} />}>
            {text.checkpoints.newJob}
          </Menu.Item>
        )}
        <Menu.Divider />
        {!checkpoint.is_final && (
          <Menu.Item
            leftSection={<Icon name="save" size={16} />}
            onClick={() => onMark(checkpoint, { pinned: !checkpoint.is_pinned })}
          >
            {checkpoint.is_pinned ? text.checkpoints.unpin : text.checkpoints.pin}
          </Menu.Item>
        )}
        <Menu.Item
          leftSection={<Icon name="star" size={16} />}
          onClick={() => onMark(checkpoint, { starred: !checkpoint.is_starred })}
        >
          {checkpoint.is_starred ? text.checkpoints.unstar : text.checkpoints.star}
        </Menu.Item>
        {checkpoint.note === "" && (
          <Menu.Item leftSection={<Icon name="edit" size={16} />} onClick={onNote}>
            {text.checkpoints.writeNote}
          </Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Item
          color="red"
          leftSection={<Icon name="trash" size={16} />}
          disabled={isBusy}
          onClick={() => remove.mutate()}
        >
          {text.checkpoints.remove}
          {reason}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** A LoKr is known by Diffusers' names only. */
function formatsOf(job: Job | undefined): LoraFormat[] {
  const target = job?.config.target as { target_type?: string } | undefined;
  return target?.target_type === "lokr" ? ["diffusers"] : ["diffusers", "comfyui"];
}

/** Saved with a word on where it and the LoRA go; or why there is none for this model. */
function useWorkflow(checkpoint: Checkpoint, jobId: number, format: LoraFormat) {
  return useMutation({
    mutationFn: () => api.workflow(jobId, checkpoint.id),
    onSuccess: ({ file, name }) => {
      saveFile(file, name);
      // It is named after the LoRA that it loads.
      const lora = name.replace(/\.comfyui\.json$/, ".safetensors");
      toastToRead(text.checkpoints.workflowSaved(name, lora, text.checkpoints.downloadAs[format]));
    },
    onError: (error) => toastFailure(text.checkpoints.workflow, error),
  });
}

/** Into the trash, and back at the press of a button: nothing that has to be asked first. */
function useRemoval(checkpoint: Checkpoint, jobId: number) {
  const client = useQueryClient();
  const undo = (entryId: string) =>
    api
      .restore(entryId)
      .then(() => toast(text.checkpoints.restored))
      .catch((error: unknown) => toastFailure(text.undo.label, error))
      .finally(() => client.invalidateQueries({ queryKey: keys.job(jobId) }));
  return useMutation({
    mutationFn: () => api.deleteCheckpoint(jobId, checkpoint.id),
    onSuccess: (entry) => {
      applyCheckpointRemoved(client, jobId, checkpoint.step, checkpoint.is_final);
      void client.invalidateQueries({ queryKey: keys.job(jobId), exact: true });
      toastWithUndo(
        checkpoint.is_final
          ? text.checkpoints.removedFinal
          : text.checkpoints.removed(formatCount(checkpoint.step)),
        () => undo(entry.id),
      );
    },
    onError: (error) => toastFailure(text.checkpoints.remove, error),
  });
}
