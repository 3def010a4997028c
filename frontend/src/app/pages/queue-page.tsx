import { useQuery } from "@tanstack/react-query";
import { hasNoJobs } from "@/api/job-lists";
import { useTopics } from "@/api/live";
import { jobSchemaQuery, jobsQuery, systemQuery } from "@/api/queries";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { FirstVisit } from "@/features/jobs/first-visit";
import { QueueSections } from "@/features/jobs/queue-sections";
import { DeviceLine } from "@/features/system/device-line";
import { WorkerBanner } from "@/features/system/worker-banner";
import { text } from "@/messages";
import classes from "./pages.module.css";

export function QueuePage() {
  useTopics("queue", "system");
  const jobs = useQuery(jobsQuery);
  const system = useQuery(systemQuery);
  const isFirstVisit = jobs.data !== undefined && hasNoJobs(jobs.data);
  const schema = useQuery({ ...jobSchemaQuery, enabled: isFirstVisit });

  return (
    <>
      <PageHeader
        title={text.queue.title}
        lead={system.data && <DeviceLine system={system.data} />}
      />
      <div className={classes.stack}>
        {system.data && <WorkerBanner system={system.data} />}
        <QueryView query={jobs} loading={320}>
          {(lists) =>
            isFirstVisit ? (
              <FirstVisit hasExample={(schema.data?.example ?? null) !== null} />
            ) : (
              <QueueSections lists={lists} />
            )
          }
        </QueryView>
      </div>
    </>
  );
}
