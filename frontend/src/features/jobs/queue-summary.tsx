import { Link } from "wouter";
import { statusesOf, type WantedState } from "@/api/job-lists";
import type { JobStatus, QueueState } from "@/api/types";
import { ACTIVE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./queue-summary.module.css";

const shown: { state: JobStatus; wanted: WantedState }[] = [
  { state: "running", wanted: "active" },
  { state: "queued", wanted: "queued" },
  { state: "failed", wanted: "failed" },
  { state: "interrupted", wanted: "interrupted" },
  { state: "completed", wanted: "completed" },
];

/** Drawings that hold a device or wait for one; those that are over are no matter of the queue. */
const PENDING: JobStatus[] = [...ACTIVE, "queued"];

interface QueueSummaryProps {
  queue: QueueState;
  onChoose: (state: WantedState) => void;
}

/** The queue in figures, large enough for the other end of the room; each shows its jobs. */
export function QueueSummary({ queue, onChoose }: QueueSummaryProps) {
  const counted = shown
    .map(({ state, wanted }) => ({
      state,
      wanted,
      count: statusesOf(wanted).reduce((sum, one) => sum + (queue.num_jobs[one] ?? 0), 0),
    }))
    .filter(({ count }) => count > 0);
  const drawings = PENDING.reduce((sum, one) => sum + (queue.num_drawings[one] ?? 0), 0);
  const areDrawn = [...ACTIVE].some((one) => (queue.num_drawings[one] ?? 0) > 0);
  if (counted.length === 0 && drawings === 0) {
    return null;
  }
  return (
    <ul className={classes.summary} aria-label={text.glance.label}>
      {counted.map(({ state, wanted, count }) => (
        <li key={state}>
          <button
            type="button"
            className={classes.state}
            data-status={state}
            onClick={() => onChoose(wanted)}
          >
            <span className={classes.count}>{count}</span> {text.status[state].toLowerCase()}
          </button>
        </li>
      ))}
      {drawings > 0 && (
        <li>
          <Link
            href={paths.drawings}
            className={classes.state}
            data-status={areDrawn ? "running" : "queued"}
          >
            <span className={classes.count}>{drawings}</span> {text.glance.drawings(drawings)}
          </Link>
        </li>
      )}
    </ul>
  );
}
