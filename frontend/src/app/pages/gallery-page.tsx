import { Button } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { ApiError } from "@/api/errors";
import { useTopics } from "@/api/live";
import { jobQuery, samplesQuery } from "@/api/queries";
import type { Job, Sample } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { PageHeader } from "@/components/ui/page-header";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import wide from "@/components/ui/wide.module.css";
import { JobSelect } from "@/features/jobs/job-select";
import { Gallery } from "@/features/samples/gallery";
import { type GalleryJob, promptKey } from "@/features/samples/gallery-model";
import { hasNothing, useGalleryJobs } from "@/features/samples/use-gallery-jobs";
import { useSampleMarks } from "@/features/samples/use-sample-marks";
import { useSampleRemoval } from "@/features/samples/use-sample-removal";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { NotFoundPage } from "./not-found-page";
import classes from "./pages.module.css";
import { useChangeDrawer } from "./use-change-drawer";
import { UsePrompt } from "./use-prompt";

const PARAMETER = "with";
const STEP = "step";
const NONE_YET: Sample[] = [];

/**
 * A job's pictures on a page of their own, other jobs' beside them; which others is in the address,
 * and so may be the step to look at first.
 */
export default function GalleryPage({ jobId }: { jobId: number }) {
  const [search, setSearch] = useSearchParams();
  const others = otherJobs(search.get(PARAMETER), jobId);
  const step = search.get(STEP);
  useTopics(...[jobId, ...others].map((id) => `job:${id}`));
  const job = useQuery(jobQuery(jobId));
  const samples = useQuery(samplesQuery(jobId));
  const show = (ids: number[]) =>
    setSearch(ids.length === 0 ? {} : { [PARAMETER]: ids.join() }, { replace: true });
  if (job.error instanceof ApiError && (job.error.status === 404 || job.error.status === 422)) {
    return <NotFoundPage />;
  }
  return (
    <QueryView query={job} loading={480}>
      {(one) => {
        const name = one.training_name || text.job.unnamed;
        return (
          <div className={classes.stack}>
            <PageHeader
              title={text.samples.galleryTitle(name)}
              before={
                <Link href={paths.job(jobId)} className={classes.back}>
                  <Icon name="back" size={16} />
                  {name}
                </Link>
              }
              actions={
                <JobSelect
                  label={text.samples.addJob}
                  except={jobId}
                  chosen={null}
                  onChosen={(id) => show([...others.filter((other) => other !== id), id])}
                />
              }
            />
            <div className={wide.wide}>
              <QueryView query={samples} loading={480}>
                {(list) => (
                  <Pictures
                    job={one}
                    samples={list}
                    others={others}
                    step={step !== null && /^\d{1,15}$/.test(step) ? Number(step) : null}
                    onRemove={(id) => show(others.filter((other) => other !== id))}
                  />
                )}
              </QueryView>
            </div>
          </div>
        );
      }}
    </QueryView>
  );
}

interface PicturesProps {
  job: Job;
  samples: Sample[];
  others: number[];
  step: number | null;
  onRemove: (jobId: number) => void;
}

function Pictures({ job, samples, others, step, onRemove }: PicturesProps) {
  const otherJobs = useQueries({ queries: others.map((id) => jobQuery(id)) });
  const otherSamples = useQueries({ queries: others.map((id) => samplesQuery(id)) });
  const parts = [
    { id: job.id, job, samples },
    ...others.map((id, index) => ({
      id,
      job: otherJobs[index]?.data,
      samples: otherSamples[index]?.data ?? NONE_YET,
    })),
  ];
  const jobs = useGalleryJobs(parts);
  const isLoading = [...otherJobs, ...otherSamples].some((query) => query.isPending);
  const withoutCommon = others.length > 0 && !isLoading && !haveCommon(jobs);
  const mark = useSampleMarks();
  const remove = useSampleRemoval();
  const change = useChangeDrawer(parts.flatMap((part) => part.job ?? []));
  const ofSample = ({ id }: Sample) =>
    parts.find((part) => part.samples.some((one) => one.id === id))?.job ?? job;
  return (
    <Panel
      title={text.samples.title}
      aside={others.map((id, index) => {
        const name = otherJobs[index]?.data?.training_name || String(id);
        return (
          <Button
            key={id}
            size="compact-sm"
            variant="default"
            aria-label={text.samples.removeJob(name)}
            rightSection={<Icon name="close" size={14} />}
            onClick={() => onRemove(id)}
          >
            {name}
          </Button>
        );
      })}
    >
      {change.drawer}
      <div className={classes.stack}>
        {withoutCommon && <Notice tone="info">{text.samples.noCommon}</Notice>}
        {jobs.every(hasNothing) ? (
          <Empty icon="picture" title={text.samples.emptyTitle} />
        ) : (
          <Gallery
            jobs={jobs}
            isTall
            step={step}
            onRemove={remove}
            onMark={(sample, marks) => mark(ofSample(sample).id, sample, marks)}
            actions={(sample, close) => (
              <UsePrompt
                job={ofSample(sample)}
                sample={sample}
                onAdd={() => {
                  close();
                  change.openWithPrompt(ofSample(sample), sample);
                }}
              />
            )}
          />
        )}
      </div>
    </Panel>
  );
}

function otherJobs(wanted: string | null, jobId: number): number[] {
  const ids = (wanted ?? "").split(",").filter((id) => /^[1-9]\d{0,15}$/.test(id));
  return [...new Set(ids.map(Number))].filter((id) => id !== jobId);
}

function haveCommon(jobs: GalleryJob[]): boolean {
  const seen = jobs.map((job) => new Set(job.samples.map(promptKey)));
  return seen.some((own, index) =>
    seen.slice(index + 1).some((other) => [...own].some((key) => other.has(key))),
  );
}
