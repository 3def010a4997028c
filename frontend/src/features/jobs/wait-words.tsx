import { useQuery } from "@tanstack/react-query";
import { findJob } from "@/api/job-lists";
import { jobQuery, jobsQuery, systemQuery } from "@/api/queries";
import type { JobSummary } from "@/api/types";
import { namesOf } from "@/lib/device-name";
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
    case "larger_device":
      return <LargerDevice tooSmall={job.too_small_devices} />;
    default:
      return text.wait[job.waits_for];
  }
}

/** Which GPUs do not count, by their names, so that one that is free is no riddle. */
function LargerDevice({ tooSmall }: { tooSmall: string[] }) {
  const devices = useQuery(systemQuery).data?.devices ?? [];
  return text.wait.largerDevice(namesOf(tooSmall, devices));
}

/** The other job by its name; one that ended otherwise than completed will not set this one going. */
function AfterJob({ id }: { id: number }) {
  // Asked of the cache alone; the stream keeps it, and a new state of that job is said at once.
  const shown = useQuery({
    ...jobsQuery(),
    enabled: false,
    select: (lists) => findJob(lists, id),
  }).data;
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
