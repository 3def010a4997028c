import type { JobStatus, QueueState } from "@/api/types";
import { text } from "@/messages";
import classes from "./queue-summary.module.css";

const shown: { state: JobStatus; of: JobStatus[] }[] = [
  { state: "running", of: ["starting", "running", "stopping"] },
  { state: "queued", of: ["queued"] },
  { state: "failed", of: ["failed"] },
  { state: "interrupted", of: ["interrupted"] },
  { state: "completed", of: ["completed"] },
];

interface QueueSummaryProps {
  queue: QueueState;
  onChoose: (status: JobStatus) => void;
}

/** The queue in figures, large enough for the other end of the room; each shows its jobs. */
export function QueueSummary({ queue, onChoose }: QueueSummaryProps) {
  const counted = shown
    .map(({ state, of }) => ({
      state,
      count: of.reduce((sum, one) => sum + (queue.num_jobs[one] ?? 0), 0),
    }))
    .filter(({ count }) => count > 0);
  if (counted.length === 0) {
    return null;
  }
  return (
    <ul className={classes.summary} aria-label={text.glance.label}>
      {counted.map(({ state, count }) => (
        <li key={state}>
          <button
            type="button"
            className={classes.state}
            data-status={state}
            onClick={() => onChoose(state)}
          >
            <span className={classes.count}>{count}</span> {text.status[state].toLowerCase()}
          </button>
        </li>
      ))}
    </ul>
  );
}
