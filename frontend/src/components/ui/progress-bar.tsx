import classes from "./progress-bar.module.css";

interface ProgressBarProps {
  label: string;
  done: number;
  total: number;
  /** Burning while the job is under way, quiet afterwards. */
  active: boolean;
}

export function ProgressBar({ label, done, total, active }: ProgressBarProps) {
  const percent = total > 0 ? Math.min(100, (100 * done) / total) : 0;
  return (
    <div
      className={classes.track}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(percent)}
      data-active={active}
    >
      <div className={classes.done} style={{ width: `${percent}%` }} />
    </div>
  );
}
