import type { Job } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { Stat, Stats } from "@/components/ui/stat";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import classes from "./failure-panel.module.css";
import { useLog } from "./use-log";

const LAST_LINES = 12;

/** Why it ended, where, and what to do about it. */
export function FailurePanel({ job }: { job: Job }) {
  const run = job.runs[job.runs.length - 1];
  const failed = job.status === "failed";
  const problems = run !== undefined && run.problems.length > 0 ? run.problems : [job.error];
  const log = useLog(job.id, run?.number);
  const lines = log.data?.lines.slice(-LAST_LINES) ?? [];
  const resumeStep = Math.max(0, ...job.resumable_from_steps);

  return (
    <Panel title={failed ? text.failure.title : text.failure.interruptedTitle} tone="bad">
      <div className={classes.body}>
        {problems.map(
          (problem) =>
            problem !== null && (
              <div key={problem.code + problem.message}>
                <p className={classes.message}>{problem.message}</p>
                {problem.hint !== "" && <p className={classes.hint}>{problem.hint}</p>}
              </div>
            ),
        )}
        <Stats>
          {job.phase !== null && (
            <Stat label={text.failure.phase}>{text.phase[job.phase] ?? job.phase}</Stat>
          )}
          {run !== undefined && run.exit_code !== null && (
            <Stat label={text.failure.exitCode}>{run.exit_code}</Stat>
          )}
          {job.error !== null && <Stat label={text.failure.code}>{job.error.code}</Stat>}
        </Stats>
        <p className={classes.hint}>
          {resumeStep > 0
            ? text.failure.resumeFrom(formatCount(resumeStep))
            : text.failure.resumeFromStart}
        </p>
        {lines.length > 0 && (
          <details open>
            <summary className={classes.summary}>{text.failure.lastLines}</summary>
            <pre className={classes.lines}>{lines.join("\n")}</pre>
          </details>
        )}
      </div>
    </Panel>
  );
}
