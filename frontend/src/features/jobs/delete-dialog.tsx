import { Button, Checkbox, Group } from "@mantine/core";
import { useState } from "react";
import type { JobSummary } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";

interface DeleteDialogProps {
  job: Pick<JobSummary, "training_name" | "started_at" | "status">;
  opened: boolean;
  onClose: () => void;
  onDelete: (files: boolean) => void;
}

/** Files are kept unless asked otherwise, and then they go to a trash and not away. */
export function DeleteDialog({ job, opened, onClose, onDelete }: DeleteDialogProps) {
  const [files, setFiles] = useState(false);
  return (
    <Dialog
      opened={opened}
      onClose={onClose}
      title={text.actions.deleteTitle(job.training_name || text.job.unnamed)}
    >
      {job.started_at !== null && (
        <>
          {ACTIVE.has(job.status) && (
            <p style={{ marginTop: 0 }}>{text.actions.deleteStopsFirst}</p>
          )}
          <p style={{ marginTop: 0 }}>{text.actions.deleteBody}</p>
          <Checkbox
            checked={files}
            onChange={(event) => setFiles(event.currentTarget.checked)}
            label={text.actions.deleteFiles}
            description={text.actions.deleteFilesHelp}
          />
        </>
      )}
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose} data-autofocus>
          {text.actions.cancel}
        </Button>
        <Button
          color="red.8"
          onClick={() => {
            onDelete(files);
            onClose();
          }}
        >
          {text.actions.deleteConfirm}
        </Button>
      </Group>
    </Dialog>
  );
}
