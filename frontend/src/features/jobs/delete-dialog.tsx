import { Button, Checkbox, Group } from "@mantine/core";
import { useState } from "react";
import type { JobSummary } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";

interface DeleteDialogProps {
  jobs: Pick<JobSummary, "training_name" | "started_at" | "status">[];
  opened: boolean;
  onClose: () => void;
  onDelete: (files: boolean) => void;
}

/** Files are kept unless asked otherwise, and then they go to a trash and not away. */
export function DeleteDialog(props: DeleteDialogProps) {
  const { jobs, opened, onClose } = props;
  const only = jobs.length === 1 ? jobs[0] : undefined;
  return (
    <Dialog
      opened={opened}
      onClose={onClose}
      title={
        only === undefined
          ? text.selection.deleteTitle(jobs.length)
          : text.actions.deleteTitle(only.training_name || text.job.unnamed)
      }
    >
      <DeleteForm {...props} />
    </Dialog>
  );
}

/** Made anew at each opening: a tick that was cancelled is no wish any more. */
function DeleteForm({ jobs, onClose, onDelete }: DeleteDialogProps) {
  const [files, setFiles] = useState(false);
  return (
    <>
      {jobs.some((job) => job.started_at !== null) && (
        <>
          {jobs.some((job) => ACTIVE.has(job.status)) && (
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
          {jobs.length === 1
            ? text.actions.deleteConfirm
            : text.selection.deleteConfirm(jobs.length)}
        </Button>
      </Group>
    </>
  );
}
