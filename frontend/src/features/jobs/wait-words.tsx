import { useQuery, useQueryClient } from "@tanstack/react-query";
import { jobQuery } from "@/api/queries";
import { shownJob } from "@/api/shown-jobs";
import type { JobSummary } from "@/api/types";
import { formatMoment } from "@/lib/format";
import { FINISHED } from "@/lib/job-states";
import { text } from "@/messages";

/** Why a queued job has not started, in words. */
export function WaitWords({ job }: { job: JobSummary }) {
  switch (job.waits_for) {
    case null:
      return null;
    case "time":
      return text.wait.time(formatMoment(job.not_before));
    case "job":
      return job.run_after_job_id === null ? null : <AfterJob id={job.run_after_job_id} />;
    default:
      return text.wait[job.waits_for];
  }
}

/** The other job by its name; one that ended otherwise than completed will not set this one going. */
function AfterJob({ id }: { id: number }) {
  const client = useQueryClient();
  const shown = shownJob(client, id);
  const fetched = useQuery({ ...jobQuery(id), enabled: shown === undefined });
  const other = shown ?? fetched.data;
  if (other === undefined) {
    return text.wait.job(text.wait.someJob(id));
  }
  const name = other.training_name || text.job.unnamed;
  const wontComplete = FINISHED.has(other.status) && other.status !== "completed";
  return wontComplete
    ? text.wait.jobWontComplete(name, text.status[other.status])
    : text.wait.job(name);
}
