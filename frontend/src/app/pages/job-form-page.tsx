import { Button } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { api } from "@/api/client";
import { ApiError } from "@/api/errors";
import { useTopics } from "@/api/live";
import { jobQuery, jobSchemaQuery, keys, systemQuery } from "@/api/queries";
import type { Job, JobConfigValue, JobSchema } from "@/api/types";
import { ErrorBoundary } from "@/components/ui/error-boundary";
import { Notice } from "@/components/ui/notice";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { toast, toastToRead } from "@/components/ui/toast";
import { DatasetContents } from "@/features/datasets/dataset-contents";
import { DatasetPicker } from "@/features/datasets/dataset-picker";
import { keepBegun, readBegun } from "@/features/job-form/begun";
import type { FormAid } from "@/features/job-form/form-aid";
import type { DatasetPickerProps } from "@/features/job-form/form-context";
import { ImportButton } from "@/features/job-form/import-button";
import { JobForm } from "@/features/job-form/job-form";
import { NewerValues } from "@/features/job-form/newer-values";
import { useOwnDraft } from "@/features/job-form/own-draft";
import { PlanPanel } from "@/features/job-form/plan-panel";
import { PresetPanel } from "@/features/job-form/preset-panel";
import { clearDraft, isTypedSince, moveDraft, storeDraft } from "@/features/job-form/stored-draft";
import { copyKind, forgetKind } from "@/features/job-form/use-kind";
import { giftOf, withGift } from "@/lib/form-link";
import { EDITABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import { NotFoundPage } from "./not-found-page";

const renderDatasetPicker = (props: DatasetPickerProps) => <DatasetPicker {...props} />;
const renderDatasetContents = (props: { config: JobConfigValue; place: number }) => (
  <DatasetContents {...props} />
);

function Plan({ aid }: { aid: FormAid }) {
  const system = useQuery(systemQuery);
  return (
    <ErrorBoundary>
      <PlanPanel aid={aid} ramBytes={system.data?.memory.total_bytes ?? null} />
    </ErrorBoundary>
  );
}

function Preset(props: { aid: FormAid; open: boolean }) {
  return (
    <ErrorBoundary>
      <PresetPanel {...props} />
    </ErrorBoundary>
  );
}

/** A new job, a copy of one, or the edit of one: the same form over another beginning. */
export default function JobFormPage({ jobId }: { jobId: number | null }) {
  useTopics("system");
  const [search] = useSearchParams();
  const from = search.get("from");
  const copied = from !== null && /^\d+$/.test(from) ? Number(from) : null;
  const typed = search.has("typed");
  const given = giftOf(search);
  const source = jobId ?? copied;
  const schema = useQuery(jobSchemaQuery);
  const job = useFreshJob(source);

  if (job.error instanceof ApiError && job.error.status === 404) {
    return <NotFoundPage />;
  }
  return (
    <QueryView query={schema} loading={480}>
      {(loaded) => {
        if (jobId !== null) {
          return (
            <QueryView query={job} loading={480}>
              {(existing) => (
                <EditForm
                  key={`${existing.id}-${given}`}
                  schema={loaded}
                  job={existing}
                  gift={
                    given === "" ? null : { key: given, config: withGift(search, existing.config) }
                  }
                />
              )}
            </QueryView>
          );
        }
        if (copied !== null) {
          return (
            <QueryView query={job} loading={480}>
              {(original) => (
                <NewForm
                  key={`copy-${original.id}-${given}-${typed}`}
                  schema={loaded}
                  form={
                    typed
                      ? typedCopyForm(original.id)
                      : `copy-${original.id}${given === "" ? "" : `-${given}`}`
                  }
                  saved={withGift(search, renamed(original))}
                />
              )}
            </QueryView>
          );
        }
        const example = from === "example" ? loaded.example : null;
        return (
          <NewForm
            key={example === null ? "new" : "example"}
            schema={loaded}
            form={example === null ? "new" : "example"}
            saved={(example ?? loaded.defaults) as JobConfigValue}
          />
        );
      }}
    </QueryView>
  );
}

/**
 * The job as it was read since its form was opened: a form keeps what it began with, and events tell
 * nothing of the settings that another page saved before.
 */
function useFreshJob(id: number | null) {
  const job = useQuery({
    ...jobQuery(id ?? 0),
    enabled: id !== null,
    refetchOnMount: "always",
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another job's form is another opening
  const openedAt = useMemo(() => Date.now(), [id]);
  return { ...job, data: job.dataUpdatedAt >= openedAt ? job.data : undefined };
}

/** A name is a folder, so that a copy needs its own. */
function renamed(job: Job, config: JobConfigValue = job.config): JobConfigValue {
  const own = config.job as Record<string, unknown> | undefined;
  const said = own?.training_name;
  const other = said !== undefined && said !== job.training_name;
  const training_name = other ? said : text.form.copyName(job.training_name);
  return { ...config, job: { ...own, training_name } };
}

/** Names under which the browser keeps what belongs to these forms. */
const editForm = (id: number) => `edit-${id}`;
const typedCopyForm = (id: number) => `copy-${id}-typed`;

interface NewFormProps {
  schema: JobSchema;
  /** Of all openings of this form; each keeps a text of its own. */
  form: string;
  saved: JobConfigValue;
}

function NewForm({ schema, form, saved }: NewFormProps) {
  const storageKey = useOwnDraft(form);
  const [, navigate] = useLocation();
  const client = useQueryClient();
  const system = useQuery(systemQuery);
  // What the form began with stays its beginning, whatever is fetched again meanwhile.
  const [start] = useState(saved);

  const create = async (config: JobConfigValue, queue: boolean) => {
    const job = await api.createJob(config, queue);
    copyKind(storageKey, editForm(job.id));
    const isMore = isTypedSince(storageKey, config);
    if (isMore) {
      // Typed while the server answered: it is of the job that there is now, not of the next new one.
      moveDraft(storageKey, editForm(job.id));
      keepBegun(editForm(job.id), job.config);
    }
    forgetKind(storageKey);
    client.setQueryData(keys.job(job.id), job);
    toast(queue ? text.actions.queued(job.training_name) : text.form.saved);
    if (queue && isMore) {
      toastToRead(words.meanwhile.kept);
    }
    navigate(queue ? paths.job(job.id) : paths.editJob(job.id), { replace: !queue });
  };

  return (
    <>
      <PageHeader title={text.form.newTitle} lead={text.form.lead} />
      <JobForm
        schema={schema}
        storageKey={storageKey}
        saved={start}
        devices={system.data?.devices ?? null}
        renderDatasetPicker={renderDatasetPicker}
        renderDatasetContents={renderDatasetContents}
        renderAbove={(aid) => (
          <>
            <ImportButton aid={aid} />
            <Preset aid={aid} open />
          </>
        )}
        renderBeside={(aid) => <Plan aid={aid} />}
        saveLabel={text.form.saveDraft}
        queueLabel={text.form.queueJob}
        onSave={(config) => create(config, false)}
        onQueue={(config) => create(config, true)}
      />
    </>
  );
}

interface EditFormProps {
  schema: JobSchema;
  job: Job;
  /** The config with what the address adds to it; null where that is nothing. */
  gift: { key: string; config: JobConfigValue } | null;
}

/** What the job had by then when saving was refused for it, and what was asked for. */
interface Newer {
  config: JobConfigValue;
  asked: "save" | "queue";
}

function EditForm({ schema, job, gift }: EditFormProps) {
  const [, navigate] = useLocation();
  const client = useQueryClient();
  const system = useQuery(systemQuery);
  const [start] = useState(gift?.config ?? job.config);
  const storageKey = `${editForm(job.id)}${gift === null ? "" : `-${gift.key}`}`;
  const title = text.form.editTitle(job.training_name || text.job.unnamed);
  const begun = useRef(job.config);
  const [newer, setNewer] = useState<Newer | null>(null);

  if (!EDITABLE.has(job.status)) {
    return (
      <>
        <PageHeader title={title} />
        <Notice
          tone="info"
          title={text.form.notEditableTitle}
          action={
            <Button component={Link} href={paths.job(job.id)} variant="default" size="xs">
              {text.form.openJob}
            </Button>
          }
        >
          {text.form.notEditable(text.status[job.status])}
        </Notice>
      </>
    );
  }

  const beginOver = (config: JobConfigValue) => {
    begun.current = config;
    keepBegun(storageKey, config);
    setNewer(null);
  };

  const save = async (config: JobConfigValue, what: Newer["asked"]) => {
    try {
      const before = readBegun(storageKey) ?? begun.current;
      const saved = await api.updateJob(job.id, config, before);
      client.setQueryData(keys.job(job.id), saved);
      beginOver(saved.config);
    } catch (error) {
      if (error instanceof ApiError && error.problems.some(({ code }) => code === "job_changed")) {
        setNewer({ config: (await api.job(job.id)).config, asked: what });
      }
      throw error;
    }
  };

  const clone = (config: JobConfigValue) => {
    const form = typedCopyForm(job.id);
    if (!storeDraft(form, renamed(job, config))) {
      toast(words.clone.notKept);
      return;
    }
    clearDraft(`${form}.yaml`);
    copyKind(storageKey, form);
    navigate(paths.cloneAsTyped(job.id));
  };

  return (
    <>
      <PageHeader title={title} lead={text.form.lead} />
      <JobForm
        schema={schema}
        jobId={job.id}
        storageKey={storageKey}
        saved={start}
        begun={begun}
        devices={system.data?.devices ?? null}
        renderDatasetPicker={renderDatasetPicker}
        renderDatasetContents={renderDatasetContents}
        renderAbove={(aid) => <Preset aid={aid} open={false} />}
        renderBeside={(aid) => (
          <>
            {newer !== null && (
              <NewerValues
                aid={aid}
                newer={newer.config}
                onSeen={() => beginOver(newer.config)}
                onSave={() => aid.onSubmit(newer.asked)}
              />
            )}
            <Plan aid={aid} />
          </>
        )}
        saveLabel={job.status === "draft" ? text.form.saveDraft : text.form.save}
        queueLabel={job.status === "draft" ? text.form.queueJob : text.form.saveAndQueue}
        onSave={async (config) => {
          await save(config, "save");
          toast(text.form.saved);
        }}
        onQueue={async (config) => {
          await save(config, "queue");
          client.setQueryData(keys.job(job.id), await api.queueJob(job.id));
          toast(text.actions.queued(job.training_name));
          if (isTypedSince(storageKey, config)) {
            toastToRead(words.meanwhile.kept);
          }
          navigate(paths.job(job.id));
        }}
        onClone={clone}
      />
    </>
  );
}
