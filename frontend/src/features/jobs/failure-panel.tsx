import { useQuery } from "@tanstack/react-query";
import { failureQuery } from "@/api/queries";
import type { Failure, Job } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { Stat, Stats } from "@/components/ui/stat";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import { CureList } from "./cure-list";
import classes from "./failure-panel.module.css";

const SHOWN_LINES = 12;

/** Why it ended, where, and what to do about it. */
export function FailurePanel({ job }: { job: Job }) {
  const failure = useQuery(failureQuery(job.id));
  const resumeStep = Math.max(0, ...job.resumable_from_steps);

  return (
    <Panel title={titleOf(job)} tone="bad">
      <div className={classes.body}>
        {/* What is known already stands there while the cures are being planned. */}
        {job.error !== null && (
          <div>
            <p className={classes.message}>{job.error.message}</p>
            {job.error.hint !== "" && <p className={classes.hint}>{job.error.hint}</p>}
          </div>
        )}
        <QueryView query={failure} loading={180}>
          {(known) => known !== null && <Known job={job} failure={known} />}
        </QueryView>
        <p className={classes.hint}>
          {job.kind === "drawing"
            ? text.failure.drawsMissing
            : resumeStep > 0
              ? text.failure.resumeFrom(formatCount(resumeStep))
              : text.failure.resumeFromStart}
        </p>
      </div>
    </Panel>
  );
}

function titleOf({ kind, status }: Job): string {
  const words = kind === "drawing" ? text.failure.ofDrawing : text.failure;
  return status === "failed" ? words.title : words.interruptedTitle;
}

function Known({ job, failure }: { job: Job; failure: Failure }) {
  const { phase, step, exit_code, signal, code, likely_cause, last_lines, cures } = failure;
  return (
    <div className={classes.body}>
      {likely_cause !== "" && (
        <p className={classes.hint}>
          <strong>{text.cures.likely}:</strong> {likely_cause}
        </p>
      )}
      <Stats>
        {phase !== null && <Stat label={text.failure.phase}>{text.phase[phase] ?? phase}</Stat>}
        {step !== null && <Stat label={text.cures.step}>{formatCount(step)}</Stat>}
        {signal !== null ? (
          <Stat label={text.cures.signal}>{signal}</Stat>
        ) : (
          exit_code !== null && <Stat label={text.failure.exitCode}>{exit_code}</Stat>
        )}
        <Stat label={text.failure.code}>{code}</Stat>
      </Stats>
      <div>
        <h3 className={classes.cures}>{text.cures.title}</h3>
        <CureList job={job} cures={cures} />
      </div>
      {last_lines.length > 0 && (
        <details open>
          <summary className={classes.summary}>{text.failure.lastLines}</summary>
          <pre className={classes.lines}>{last_lines.slice(-SHOWN_LINES).join("\n")}</pre>
        </details>
      )}
    </div>
  );
}
