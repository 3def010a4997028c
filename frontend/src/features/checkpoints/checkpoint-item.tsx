import { Button } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { Checkpoint, Job, Measurement, Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { NoteField } from "@/components/ui/note-field";
import { formatBytes, formatCount, formatLoss, formatMoment, joinFacts } from "@/lib/format";
import { QUEUEABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { CheckpointMenu } from "./checkpoint-menu";
import classes from "./checkpoints-panel.module.css";
import { ResumeDialog } from "./resume-dialog";
import { useCheckpointMarks } from "./use-checkpoint-marks";

interface CheckpointItemProps {
  checkpoint: Checkpoint;
  job: Job | undefined;
  jobId: number;
  measurement: Measurement | undefined;
  samples: Sample[];
  startFrom: string | null;
}

const SHOWN_PICTURES = 6;

/** One checkpoint: what it is worth, whether it is sound, and what can be done with it. */
export function CheckpointItem(props: CheckpointItemProps) {
  const { checkpoint, job, jobId, measurement, samples } = props;
  const mark = useCheckpointMarks(jobId);
  const [noting, setNoting] = useState(false);
  const [resuming, setResuming] = useState(false);
  const canResume =
    job !== undefined &&
    !checkpoint.is_final &&
    QUEUEABLE.has(job.status) &&
    job.resumable_from_steps.includes(checkpoint.step);
  return (
    <li className={classes.item} data-final={checkpoint.is_final}>
      <div className={classes.head}>
        <h3 className={classes.title}>
          {text.checkpoints.atStep(formatCount(checkpoint.step))}
          <Marks checkpoint={checkpoint} />
        </h3>
        <span className={classes.about}>
          {joinFacts([formatBytes(checkpoint.size_bytes), formatMoment(checkpoint.created_at)])}
        </span>
      </div>
      <p className={classes.facts}>{joinFacts(factsOf(checkpoint, measurement))}</p>
      <Soundness checkpoint={checkpoint} lastStep={job?.step ?? checkpoint.step} />
      {samples.length > 0 && (
        <Link
          href={paths.galleryAt(jobId, checkpoint.step)}
          className={classes.pictures}
          aria-label={text.checkpoints.pictures(formatCount(checkpoint.step))}
        >
          {samples.slice(0, SHOWN_PICTURES).map((sample) => (
            <img
              key={sample.id}
              className={classes.picture}
              src={sample.thumbnail_url}
              alt=""
              loading="lazy"
              decoding="async"
            />
          ))}
        </Link>
      )}
      {(noting || checkpoint.note !== "") && (
        <NoteField
          label={text.checkpoints.note}
          note={checkpoint.note}
          onSave={(note) => mark(checkpoint, { note })}
        />
      )}
      <div className={classes.actions}>
        <Button
          component="a"
          href={checkpoint.url}
          download
          size="xs"
          variant={checkpoint.is_final ? "filled" : "default"}
          leftSection={<Icon name="download" size={15} />}
          aria-label={labelOf(checkpoint)}
        >
          {text.checkpoints.download}
        </Button>
        <Button
          component={Link}
          href={paths.tryIt(jobId, checkpoint.is_final ? undefined : checkpoint.step)}
          size="xs"
          variant="default"
          leftSection={<Icon name="try" size={15} />}
          aria-label={
            checkpoint.is_final
              ? text.checkpoints.tryFinal
              : text.checkpoints.tryStep(formatCount(checkpoint.step))
          }
        >
          {text.checkpoints.tryIt}
        </Button>
        {canResume && (
          <Button
            size="xs"
            variant="default"
            aria-label={text.checkpoints.resumeLabel(formatCount(checkpoint.step))}
            onClick={() => setResuming(true)}
          >
            {text.checkpoints.resume}
          </Button>
        )}
        <CheckpointMenu
          checkpoint={checkpoint}
          job={job}
          jobId={jobId}
          startFrom={props.startFrom}
          onMark={mark}
          onNote={() => setNoting(true)}
        />
      </div>
      {job !== undefined && (
        <ResumeDialog
          job={job}
          step={checkpoint.step}
          opened={resuming}
          onClose={() => setResuming(false)}
        />
      )}
    </li>
  );
}

/** Why this one is worth a look, and why it is still there. */
function Marks({ checkpoint }: { checkpoint: Checkpoint }) {
  const { is_final, is_best, is_pinned, is_starred } = checkpoint;
  return (
    <>
      {is_final && <span className={classes.mark}>{text.checkpoints.final}</span>}
      {is_best && (
        <span className={classes.mark} data-mark="best">
          {text.checkpoints.best}
        </span>
      )}
      {is_pinned && (
        <span className={classes.mark} data-mark="pinned">
          {text.checkpoints.pinned}
        </span>
      )}
      {is_starred && (
        <span className={classes.mark} data-mark="best">
          {text.checkpoints.starred}
        </span>
      )}
    </>
  );
}

function factsOf(checkpoint: Checkpoint, measurement: Measurement | undefined): string[] {
  const named: [(value: string) => string, number | null | undefined][] = [
    [text.checkpoints.meanLoss, checkpoint.loss],
    [text.checkpoints.preservation, checkpoint.preservation_loss],
    [text.checkpoints.validation, measurement?.validation_loss],
    [text.checkpoints.change, measurement?.change_with_trigger],
    [text.checkpoints.drift, measurement?.drift_without_trigger],
  ];
  const facts = named.flatMap(([say, value]) =>
    value === null || value === undefined ? [] : [say(formatLoss(value))],
  );
  return facts.length > 0 ? facts : [text.checkpoints.noLosses];
}

/** What reading the file back after it was saved has shown, and why this one is the result. */
function Soundness({ checkpoint, lastStep }: { checkpoint: Checkpoint; lastStep: number }) {
  const { num_layers, lora_norm, is_best } = checkpoint;
  const changesNothing = lora_norm === 0;
  return (
    <>
      {num_layers !== null && (
        <p className={classes.check} data-tone={changesNothing ? "warn" : "good"}>
          <Icon name={changesNothing ? "failed" : "check"} size={15} />
          {changesNothing
            ? text.checkpoints.changesNothing(num_layers)
            : text.checkpoints.checked(num_layers, formatLoss(lora_norm))}
        </p>
      )}
      {is_best && <p className={classes.check}>{whyBest(checkpoint, lastStep)}</p>}
    </>
  );
}

/** A training that ended early keeps its best checkpoint as the result, whatever came after it. */
function whyBest({ is_final, step }: Checkpoint, lastStep: number): string {
  return is_final && step < lastStep
    ? text.checkpoints.bestOfEarlyEnd(formatCount(step), formatCount(lastStep))
    : text.checkpoints.bestBy;
}

function labelOf(checkpoint: Checkpoint): string {
  return checkpoint.is_final
    ? text.checkpoints.downloadFinal
    : text.checkpoints.downloadStep(formatCount(checkpoint.step));
}
