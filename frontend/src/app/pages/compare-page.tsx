import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { ApiError } from "@/api/errors";
import { useTopics } from "@/api/live";
import { jobQuery, jobSchemaQuery } from "@/api/queries";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { Comparison } from "@/features/job-form/comparison";
import { JobSelect } from "@/features/jobs/job-select";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { NotFoundPage } from "./not-found-page";
import classes from "./pages.module.css";

const PARAMETER = "with";

/** A job beside another; which other is in the address. */
export default function ComparePage({ jobId }: { jobId: number }) {
  useTopics("queue");
  const [search, setSearch] = useSearchParams();
  const wanted = search.get(PARAMETER);
  const otherId = wanted !== null && /^[1-9]\d*$/.test(wanted) ? Number(wanted) : null;
  const job = useQuery(jobQuery(jobId));
  const other = useQuery({ ...jobQuery(otherId ?? 0), enabled: otherId !== null });
  const schema = useQuery(jobSchemaQuery);
  if (job.error instanceof ApiError && (job.error.status === 404 || job.error.status === 422)) {
    return <NotFoundPage />;
  }
  const gone = other.error instanceof ApiError && other.error.status === 404;
  return (
    <QueryView query={job} loading={480}>
      {(one) => (
        <div className={classes.stack}>
          <PageHeader
            title={text.compare.title(one.training_name || text.job.unnamed)}
            before={
              <Link href={paths.job(jobId)} className={classes.back}>
                <Icon name="back" size={16} />
                {one.training_name || text.job.unnamed}
              </Link>
            }
            actions={
              otherId !== null &&
              !gone && (
                <Button
                  component={Link}
                  href={paths.gallery(jobId, [otherId])}
                  variant="default"
                  leftSection={<Icon name="picture" size={16} />}
                >
                  {text.samples.comparePictures}
                </Button>
              )
            }
          />
          <JobSelect
            label={text.compare.with}
            except={jobId}
            chosen={otherId === null ? null : (other.data ?? null)}
            onChosen={(id) => setSearch({ [PARAMETER]: String(id) }, { replace: true })}
          />
          {otherId === null || gone ? (
            <Empty icon="copy" title={gone ? text.compare.gone : text.compare.chooseFirst} />
          ) : (
            <QueryView query={other} loading={320}>
              {(beside) => (
                <QueryView query={schema} loading={320}>
                  {(loaded) => (
                    <Comparison
                      schema={loaded}
                      one={{ name: one.training_name || text.job.unnamed, config: one.config }}
                      other={{
                        name: beside.training_name || text.job.unnamed,
                        config: beside.config,
                      }}
                    />
                  )}
                </QueryView>
              )}
            </QueryView>
          )}
        </div>
      )}
    </QueryView>
  );
}
