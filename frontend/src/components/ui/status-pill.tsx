import type { JobStatus } from "@/api/types";
import { text } from "@/messages";
import { Icon, type IconName } from "./icons";
import classes from "./status-pill.module.css";

const icons: Record<JobStatus, IconName | null> = {
  draft: "draft",
  queued: "clock",
  starting: null,
  running: null,
  stopping: null,
  stopped: "stop",
  completed: "check",
  failed: "failed",
  interrupted: "interrupted",
};

/** A job's state by word, shape and colour; an active one has the safelight burning. */
export function StatusPill({ status }: { status: JobStatus }) {
  const icon = icons[status];
  return (
    <span className={classes.pill} data-status={status}>
      {icon === null ? <span className={classes.lamp} /> : <Icon name={icon} size={14} />}
      {text.status[status]}
    </span>
  );
}
