import { Button, Group, SegmentedControl, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { jobQuery } from "@/api/queries";
import type { JobSummary, PlaceChange } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { text } from "@/messages";
import { JobSelect } from "./job-select";

interface ScheduleDialogProps {
  job: JobSummary;
  opened: boolean;
  onClose: () => void;
  onSave: (change: PlaceChange) => void;
}

/** When a waiting job may start: its priority, a moment, another job that has to complete first. */
export default function ScheduleDialog(props: ScheduleDialogProps) {
  const { job, opened, onClose } = props;
  return (
    <Dialog opened={opened} onClose={onClose} title={text.schedule.title(job.training_name)}>
      <ScheduleForm {...props} />
    </Dialog>
  );
}

/** Made anew at each opening: saved is all of it, and none of that is to be from before. */
function ScheduleForm({ job, onClose, onSave }: ScheduleDialogProps) {
  const [priority, setPriority] = useState(String(job.priority));
  const [moment, setMoment] = useState(localMoment(job.not_before));
  const [after, setAfter] = useState(job.run_after_job_id);
  const priorityId = useId();
  const other = useQuery({ ...jobQuery(after ?? 0), enabled: after !== null });

  const save = () => {
    onSave({
      priority: Number(priority),
      not_before: moment === "" ? null : new Date(moment).toISOString(),
      run_after_job_id: after,
    });
    onClose();
  };

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <Stack gap="md">
        <div>
          <span id={priorityId} style={{ fontWeight: 500, fontSize: 14 }}>
            {text.priority.title}
          </span>
          <SegmentedControl
            fullWidth
            mt={4}
            aria-labelledby={priorityId}
            value={priority}
            onChange={setPriority}
            data={["1", "0", "-1"].map((value) => ({
              value,
              label: text.priority.short[value] ?? value,
            }))}
          />
        </div>
        <TextInput
          type="datetime-local"
          label={text.schedule.notBefore}
          description={text.schedule.notBeforeHelp}
          value={moment}
          onChange={(event) => setMoment(event.currentTarget.value)}
        />
        <JobSelect
          label={text.schedule.runAfter}
          except={job.id}
          chosen={after === null ? null : (other.data ?? null)}
          onChosen={setAfter}
        />
        {after !== null && (
          <Button variant="default" size="xs" w="fit-content" onClick={() => setAfter(null)}>
            {text.schedule.runAfterNone}
          </Button>
        )}
      </Stack>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose}>
          {text.actions.cancel}
        </Button>
        <Button type="submit">{text.schedule.save}</Button>
      </Group>
    </form>
  );
}

/** A moment as the browser's field holds it: by the clock of this machine, without a zone. */
function localMoment(moment: string | null): string {
  if (moment === null) {
    return "";
  }
  const date = new Date(moment);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
