import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { jobQuery, samplesQuery } from "@/api/queries";
import type { Sample } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { Gallery } from "./gallery";
import { hasNothing, useGalleryJobs } from "./use-gallery-jobs";
import { useSampleMarks } from "./use-sample-marks";
import { useSampleRemoval } from "./use-sample-removal";

interface SamplesPanelProps {
  jobId: number;
  /** Whether more may come. */
  expecting: boolean;
  actions?: ((sample: Sample, close: () => void) => ReactNode) | undefined;
}

/** A job's pictures on its page. */
export function SamplesPanel({ jobId, expecting, actions }: SamplesPanelProps) {
  const samples = useQuery(samplesQuery(jobId));
  return (
    <Panel
      title={text.samples.title}
      aside={
        samples.data !== undefined &&
        samples.data.length > 0 && (
          <Button
            component={Link}
            href={paths.gallery(jobId)}
            size="compact-sm"
            variant="subtle"
            color="gray"
          >
            {text.samples.openGallery}
          </Button>
        )
      }
    >
      <QueryView query={samples} loading={260}>
        {(list) => (
          <JobPictures jobId={jobId} samples={list} expecting={expecting} actions={actions} />
        )}
      </QueryView>
    </Panel>
  );
}

interface JobPicturesProps extends SamplesPanelProps {
  samples: Sample[];
}

function JobPictures({ jobId, samples, expecting, actions }: JobPicturesProps) {
  const job = useQuery(jobQuery(jobId)).data;
  const mark = useSampleMarks();
  const remove = useSampleRemoval();
  const jobs = useGalleryJobs([{ id: jobId, job, samples }]);
  if (jobs.every(hasNothing)) {
    return (
      <Empty icon="picture" title={text.samples.emptyTitle}>
        {expecting ? text.samples.emptyWaiting : text.samples.emptyNever}
      </Empty>
    );
  }
  return (
    <Gallery
      jobs={jobs}
      onMark={(sample, marks) => mark(jobId, sample, marks)}
      onRemove={remove}
      actions={actions}
    />
  );
}
