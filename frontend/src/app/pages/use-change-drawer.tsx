import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, Suspense, useState } from "react";
import { commandsQuery } from "@/api/queries";
import type { Job, Sample } from "@/api/types";
import { lazyPart } from "@/components/ui/lazy-part";
import { toastFailure } from "@/components/ui/toast";
import { DatasetPicker } from "@/features/datasets/dataset-picker";
import type { DatasetPickerProps } from "@/features/job-form/form-context";
import { asAsked, changeForm, withChanges } from "@/features/job-form/running-changes";
import { readDraft, storeDraft } from "@/features/job-form/stored-draft";
import { promptsWith } from "@/lib/form-link";
import { text } from "@/messages";

// What needs the form's parts comes after the page is drawn.
const ChangeDrawer = lazyPart("change-drawer", () => import("@/features/job-form/change-drawer"));

const renderDatasetPicker = (props: DatasetPickerProps) => <DatasetPicker {...props} />;

interface ChangeDrawerUse {
  open: (job: Job) => void;
  /** With the picture's prompt at the end of the job's own. */
  openWithPrompt: (job: Job, sample: Sample) => void;
  drawer: ReactNode;
}

/** The drawer in which a running job is changed; `jobs` as they are now. */
export function useChangeDrawer(jobs: Job[]): ChangeDrawerUse {
  const client = useQueryClient();
  const [jobId, setJobId] = useState<number | null>(null);
  const [opened, setOpened] = useState(false);
  const open = (job: Job) => {
    setJobId(job.id);
    setOpened(true);
  };
  const openWithPrompt = async (job: Job, sample: Sample) => {
    try {
      // What was typed and not sent stays, and so does what the trainer has not taken yet.
      const commands = await client.fetchQuery(commandsQuery(job.id));
      const typed = readDraft(changeForm(job.id))?.config ?? {};
      const held = withChanges(asAsked(job.config, commands), typed);
      storeDraft(changeForm(job.id), { ...typed, "sample.prompts": promptsWith(held, sample) });
      open(job);
    } catch (error) {
      toastFailure(text.samples.useInThisJob, error);
    }
  };
  const job = jobs.find(({ id }) => id === jobId);
  return {
    open,
    openWithPrompt: (job, sample) => void openWithPrompt(job, sample),
    drawer: job && (
      <Suspense fallback={null}>
        <ChangeDrawer
          key={job.id}
          job={job}
          opened={opened}
          onClose={() => setOpened(false)}
          renderDatasetPicker={renderDatasetPicker}
        />
      </Suspense>
    ),
  };
}
