import { Button, Group, NativeSelect } from "@mantine/core";
import { useState } from "react";
import type { Job } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";

interface ResumeDialogProps {
  job: Job;
  opened: boolean;
  onClose: () => void;
  onQueue: (fromStep: number) => void;
}

/** From which of its checkpoints the next run goes on, or from the beginning. */
export function ResumeDialog(props: ResumeDialogProps) {
  const { job, opened, onClose } = props;
  return (
    <Dialog opened={opened} onClose={onClose} title={text.resumeFrom.title(job.training_name)}>
      <ResumeForm {...props} />
    </Dialog>
  );
}

/** Made anew at each opening: a run meanwhile has steps that an earlier choice knows nothing of. */
function ResumeForm({ job, onClose, onQueue }: ResumeDialogProps) {
  const newestFirst = [...job.resumable_from_steps].sort((one, other) => other - one);
  const newest = newestFirst[0] ?? 0;
  const [step, setStep] = useState(String(newest));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onQueue(Number(step));
        onClose();
      }}
    >
      <NativeSelect
        label={text.resumeFrom.choice}
        description={text.resumeFrom.lead}
        value={step}
        onChange={(event) => setStep(event.currentTarget.value)}
        data={[
          ...newestFirst.map((each) => ({
            value: String(each),
            label:
              each === newest
                ? text.resumeFrom.newest(formatCount(each))
                : text.resumeFrom.step(formatCount(each)),
          })),
          { value: "0", label: text.resumeFrom.beginning },
        ]}
      />
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose}>
          {text.actions.cancel}
        </Button>
        <Button type="submit">{text.resumeFrom.confirm}</Button>
      </Group>
    </form>
  );
}
