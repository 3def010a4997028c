import { type ReactNode, Suspense, useState } from "react";
import type { Job, Sample } from "@/api/types";
import { lazyPart } from "@/components/ui/lazy-part";
import { DatasetPicker } from "@/features/datasets/dataset-picker";
import type { DatasetPickerProps } from "@/features/job-form/form-context";
import { storeDraft } from "@/features/job-form/stored-draft";
import { promptsWith } from "@/lib/form-link";

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
  const [jobId, setJobId] = useState<number | null>(null);
  const [opened, setOpened] = useState(false);
  const open = (job: Job) => {
    setJobId(job.id);
    setOpened(true);
  };
  const job = jobs.find(({ id }) => id === jobId);
  return {
    open,
    openWithPrompt: (job, sample) => {
      storeDraft(`change-${job.id}`, { "sample.prompts": promptsWith(job.config, sample) });
      open(job);
    },
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
