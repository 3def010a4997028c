import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Fragment } from "react";
import { checkpointsQuery, measurementsQuery } from "@/api/queries";
import type { Checkpoint, Measurement } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { formatBytes, formatCount, formatLoss, formatMoment } from "@/lib/format";
import { text } from "@/messages";
import classes from "./checkpoints-panel.module.css";

interface CheckpointsPanelProps {
  jobId: number;
  /** Whether more may come. */
  expecting: boolean;
}

export function CheckpointsPanel({ jobId, expecting }: CheckpointsPanelProps) {
  const checkpoints = useQuery(checkpointsQuery(jobId));
  const measurements = useQuery(measurementsQuery(jobId)).data ?? [];
  return (
    <Panel title={text.checkpoints.title}>
      <QueryView query={checkpoints} loading={140}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="save" title={text.checkpoints.emptyTitle}>
              {expecting ? text.checkpoints.emptyWaiting : text.checkpoints.emptyNever}
            </Empty>
          ) : (
            <CheckpointTable checkpoints={list} measurements={measurements} />
          )
        }
      </QueryView>
    </Panel>
  );
}

interface CheckpointTableProps {
  checkpoints: Checkpoint[];
  measurements: Measurement[];
}

function CheckpointTable({ checkpoints, measurements }: CheckpointTableProps) {
  const newestFirst = [...checkpoints].sort(
    (a, b) => Number(b.is_final) - Number(a.is_final) || b.step - a.step,
  );
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          <th scope="col">{text.checkpoints.step}</th>
          <th scope="col">{text.checkpoints.loss}</th>
          <th scope="col" className={classes.size}>
            {text.checkpoints.size}
          </th>
          <th scope="col" className={classes.saved}>
            {text.checkpoints.saved}
          </th>
          <th scope="col">
            <span className="visually-hidden">{text.checkpoints.file}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {newestFirst.map((checkpoint) => (
          <Fragment key={checkpoint.id}>
            <tr>
              <th scope="row">
                {formatCount(checkpoint.step)}
                <Marks checkpoint={checkpoint} />
              </th>
              <td>{formatLoss(checkpoint.loss)}</td>
              <td className={classes.size}>{formatBytes(checkpoint.size_bytes)}</td>
              <td className={classes.saved}>{formatMoment(checkpoint.created_at)}</td>
              <td className={classes.file}>
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
              </td>
            </tr>
            {checkpoint.is_best && (
              <tr className={classes.why}>
                <td colSpan={5}>
                  {text.checkpoints.bestBy(lossAt(measurements, checkpoint.step))}
                </td>
              </tr>
            )}
          </Fragment>
        ))}
      </tbody>
    </table>
  );
}

/** Why this one is worth a look, and why it is still there. */
function Marks({ checkpoint }: { checkpoint: Checkpoint }) {
  const { is_final, is_best, is_pinned } = checkpoint;
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
    </>
  );
}

function lossAt(measurements: Measurement[], step: number): string | null {
  const loss = measurements.find((point) => point.step === step)?.validation_loss ?? null;
  return loss === null ? null : formatLoss(loss);
}

function labelOf(checkpoint: Checkpoint): string {
  return checkpoint.is_final
    ? text.checkpoints.downloadFinal
    : text.checkpoints.downloadStep(formatCount(checkpoint.step));
}
