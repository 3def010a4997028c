import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { checkpointsQuery, jobQuery, measurementsQuery, samplesQuery } from "@/api/queries";
import type { Checkpoint, Job, Measurement, Sample } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { ACTIVE } from "@/lib/job-states";
import { text } from "@/messages";
import { CheckpointItem } from "./checkpoint-item";
import classes from "./checkpoints-panel.module.css";

interface CheckpointsPanelProps {
  jobId: number;
  /** Whether more may come. */
  expecting: boolean;
  /** A form that starts from this checkpoint's LoRA; none while its path is not known. */
  startFrom?: ((checkpoint: Checkpoint) => string | null) | undefined;
}

/** More than retention keeps unless it is told to. */
const SHOWN_AT_FIRST = 12;

/** What was saved, the result first, then the newest. */
export function CheckpointsPanel({ jobId, expecting, startFrom }: CheckpointsPanelProps) {
  const checkpoints = useQuery(checkpointsQuery(jobId));
  const measurements = useQuery(measurementsQuery(jobId)).data ?? NOTHING;
  const samples = useQuery(samplesQuery(jobId)).data ?? NO_PICTURES;
  const job = useQuery(jobQuery(jobId)).data;
  const [all, setAll] = useState(false);
  return (
    <Panel title={text.checkpoints.title}>
      <QueryView query={checkpoints} loading={140}>
        {(list) => {
          if (list.length === 0) {
            return (
              <Empty icon="save" title={text.checkpoints.emptyTitle}>
                {expecting ? text.checkpoints.emptyWaiting : text.checkpoints.emptyNever}
              </Empty>
            );
          }
          const newestFirst = [...list].sort(
            (one, other) => Number(other.is_final) - Number(one.is_final) || other.step - one.step,
          );
          const waiting = whyNotNow(job);
          const shown = all ? newestFirst : newestFirst.slice(0, SHOWN_AT_FIRST);
          return (
            <>
              {waiting !== null && <p className={classes.waiting}>{waiting}</p>}
              <ul className={classes.list}>
                {shown.map((checkpoint) => (
                  <CheckpointItem
                    key={checkpoint.id}
                    checkpoint={checkpoint}
                    job={job}
                    jobId={jobId}
                    measurement={measurements.find(({ step }) => step === checkpoint.step)}
                    samples={samplesAt(samples, checkpoint.step)}
                    startFrom={startFrom?.(checkpoint) ?? null}
                  />
                ))}
              </ul>
              {newestFirst.length > shown.length && (
                <Button size="xs" variant="default" mt="sm" onClick={() => setAll(true)}>
                  {text.checkpoints.showAll(newestFirst.length)}
                </Button>
              )}
            </>
          );
        }}
      </QueryView>
    </Panel>
  );
}

/** What can be done with no checkpoint yet, and what it waits for. */
function whyNotNow(job: Job | undefined): string | null {
  if (job === undefined) {
    return null;
  }
  if (ACTIVE.has(job.status)) {
    return text.checkpoints.whileActive;
  }
  return job.status === "queued" && job.resumable_from_steps.length > 0
    ? text.checkpoints.whileQueued
    : null;
}

const NOTHING: Measurement[] = [];
const NO_PICTURES: Sample[] = [];

/** The pictures that were drawn with it, each prompt's newest. */
function samplesAt(samples: Sample[], step: number): Sample[] {
  const own = samples.filter((one) => one.step === step && one.superseded_by === null);
  const newest = new Map(own.sort((a, b) => a.id - b.id).map((one) => [one.prompt_index, one]));
  return [...newest.values()].sort((a, b) => a.prompt_index - b.prompt_index);
}
