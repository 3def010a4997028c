import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { checkpointsQuery } from "@/api/queries";
import type { Checkpoint } from "@/api/types";
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
  return (
    <Panel title={text.checkpoints.title}>
      <QueryView query={checkpoints} loading={140}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="save" title={text.checkpoints.emptyTitle}>
              {expecting ? text.checkpoints.emptyWaiting : text.checkpoints.emptyNever}
            </Empty>
          ) : (
            <CheckpointTable checkpoints={list} />
          )
        }
      </QueryView>
    </Panel>
  );
}

function CheckpointTable({ checkpoints }: { checkpoints: Checkpoint[] }) {
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
          <tr key={checkpoint.id}>
            <th scope="row">
              {formatCount(checkpoint.step)}
              {checkpoint.is_final && (
                <span className={classes.final}>{text.checkpoints.final}</span>
              )}
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
        ))}
      </tbody>
    </table>
  );
}

function labelOf(checkpoint: Checkpoint): string {
  return checkpoint.is_final
    ? text.checkpoints.downloadFinal
    : text.checkpoints.downloadStep(formatCount(checkpoint.step));
}
