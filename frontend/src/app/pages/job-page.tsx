import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense } from "react";
import { Link, Redirect } from "wouter";
import { ApiError } from "@/api/errors";
import { useTopics } from "@/api/live";
import { jobQuery, keys, systemQuery } from "@/api/queries";
import type { Job } from "@/api/types";
import { ErrorBoundary } from "@/components/ui/error-boundary";
import { lazyPart } from "@/components/ui/lazy-part";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { QueryView } from "@/components/ui/query-view";
import { CheckpointsPanel } from "@/features/checkpoints/checkpoints-panel";
import { AdviceNotice } from "@/features/jobs/advice-notice";
import { AlarmList } from "@/features/jobs/alarm-list";
import { CurvePanel } from "@/features/jobs/curve-panel";
import { FailurePanel } from "@/features/jobs/failure-panel";
import { markOfJob, useGlance } from "@/features/jobs/glance";
import { JobHeader } from "@/features/jobs/job-header";
import { LogPanel } from "@/features/jobs/log-panel";
import { RunsPanel } from "@/features/jobs/runs-panel";
import { useNextMoment } from "@/features/jobs/use-next-moment";
import { SamplesPanel } from "@/features/samples/samples-panel";
import { WorkerBanner } from "@/features/system/worker-banner";
import { loraPath, withLora } from "@/lib/form-link";
import { ACTIVE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { NotFoundPage } from "./not-found-page";
import classes from "./pages.module.css";
import { useChangeDrawer } from "./use-change-drawer";
import { UsePrompt } from "./use-prompt";

// What needs the form's parts comes after the page is drawn.
const ChangesPanel = lazyPart("changes-panel", () => import("@/features/job-form/changes-panel"));

export default function JobPage({ jobId }: { jobId: number }) {
  useTopics(`job:${jobId}`, "system");
  const job = useQuery(jobQuery(jobId));
  // An id that was deleted, or that never was one.
  if (job.error instanceof ApiError && (job.error.status === 404 || job.error.status === 422)) {
    return <NotFoundPage />;
  }
  return (
    <QueryView query={job} loading={480}>
      {(loaded) =>
        // A drawing is a job with a page of its own.
        loaded.kind === "drawing" ? (
          <Redirect to={paths.drawing(jobId)} replace />
        ) : (
          <JobView job={loaded} />
        )
      }
    </QueryView>
  );
}

function JobView({ job }: { job: Job }) {
  const system = useQuery(systemQuery);
  const change = useChangeDrawer([job]);
  useGlance(markOfJob(job), [keys.job(job.id)], { exact: true });
  useNextMoment([job], keys.job(job.id), { exact: true });
  // What is alarming has a place of its own, and the words for what it may be.
  const alarming = new Set(job.alarms.map(({ code }) => code));
  const notes = job.warnings.filter(({ code }) => !alarming.has(code));
  const runs = job.runs.map((run) => run.number);
  const expecting = ACTIVE.has(job.status) || job.status === "queued";
  return (
    <div className={classes.stack}>
      <JobHeader job={job} onChange={() => change.open(job)} />
      {change.drawer}
      {job.status === "queued" && system.data && <WorkerBanner system={system.data} />}
      {(job.status === "failed" || job.status === "interrupted") && <FailurePanel job={job} />}
      <AlarmList job={job} />
      {notes.length > 0 && (
        <Notice tone="info" title={text.warnings.title(notes.length)}>
          <ProblemList problems={notes} />
        </Notice>
      )}
      {job.status !== "draft" && (
        <ErrorBoundary>
          <AdviceNotice job={job} />
        </ErrorBoundary>
      )}
      {job.status === "draft" ? (
        <Button component={Link} href={paths.editJob(job.id)} variant="default">
          {text.actions.edit}
        </Button>
      ) : (
        <>
          <SamplesPanel
            jobId={job.id}
            expecting={expecting}
            actions={(sample, close) => (
              <UsePrompt
                job={job}
                sample={sample}
                onAdd={() => {
                  close();
                  change.openWithPrompt(job, sample);
                }}
              />
            )}
          />
          <div className={classes.split}>
            <CurvePanel jobId={job.id} name={job.training_name} runs={runs} expecting={expecting} />
            <div className={`${classes.stack} ${classes.beside}`}>
              <CheckpointsPanel
                jobId={job.id}
                expecting={expecting}
                startFrom={(checkpoint) => {
                  const output = system.data?.folders.output;
                  return output === undefined
                    ? null
                    : withLora(paths.cloneOf(job.id), loraPath(output, job, checkpoint));
                }}
              />
              <Suspense fallback={null}>
                <ChangesPanel jobId={job.id} />
              </Suspense>
              <RunsPanel runs={job.runs} moves={job.moves} />
            </div>
            <LogPanel jobId={job.id} runs={runs} />
          </div>
        </>
      )}
    </div>
  );
}
