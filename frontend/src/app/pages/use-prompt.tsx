import { Button } from "@mantine/core";
import { Link } from "wouter";
import type { Job, Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { withPrompt } from "@/lib/form-link";
import { EDITABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";

interface UsePromptProps {
  job: Job;
  sample: Sample;
  /** Where the job runs: add it to what is drawn from the next step on. */
  onAdd?: () => void;
}

/** The picture's prompt among those of a new job, and of this one where that is possible. */
export function UsePrompt({ job, sample, onAdd }: UsePromptProps) {
  return (
    <>
      <Button
        component={Link}
        href={withPrompt(paths.tryIt(job.id, sample.step || undefined), sample)}
        size="xs"
        variant="default"
        leftSection={<Icon name="try" size={15} />}
      >
        {text.samples.tryIt}
      </Button>
      <Button
        component={Link}
        href={withPrompt(paths.cloneOf(job.id), sample)}
        size="xs"
        variant="default"
      >
        {text.samples.useInNewJob}
      </Button>
      {EDITABLE.has(job.status) && (
        <Button
          component={Link}
          href={withPrompt(paths.editJob(job.id), sample)}
          size="xs"
          variant="default"
        >
          {text.samples.useInThisJob}
        </Button>
      )}
      {job.status === "running" && onAdd !== undefined && (
        <Button size="xs" variant="default" onClick={onAdd}>
          {text.samples.useInThisJob}
        </Button>
      )}
    </>
  );
}
