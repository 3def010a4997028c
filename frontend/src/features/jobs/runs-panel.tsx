import type { Run } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { StatusPill } from "@/components/ui/status-pill";
import { formatCount, formatDuration, formatMoment, joinFacts, secondsBetween } from "@/lib/format";
import { text } from "@/messages";
import classes from "./runs-panel.module.css";

/** Every start of the job, newest first. */
export function RunsPanel({ runs }: { runs: Run[] }) {
  return (
    <Panel title={text.runs.title}>
      {runs.length === 0 ? (
        <p className={classes.facts}>{text.runs.empty}</p>
      ) : (
        <ol className={classes.list}>
          {[...runs].reverse().map((run) => (
            <li key={run.id} className={classes.run}>
              <span className={classes.name}>{text.runs.number(run.number)}</span>
              <StatusPill status={run.status} />
              <p className={classes.facts}>{joinFacts(factsOf(run))}</p>
              {run.problems
                .filter(({ severity }) => severity !== "warning")
                .map(({ code, message }) => (
                  <p key={code + message} className={classes.problem}>
                    {message}
                  </p>
                ))}
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function factsOf(run: Run): string[] {
  const facts = [formatMoment(run.started_at)];
  if (run.first_step !== null && run.finished_at === null) {
    facts.push(text.runs.fromStep(formatCount(run.first_step)));
  } else if (run.first_step !== null && run.last_step !== null) {
    facts.push(text.runs.steps(formatCount(run.first_step), formatCount(run.last_step)));
  }
  const took = secondsBetween(run.started_at, run.finished_at);
  if (took !== null) {
    facts.push(formatDuration(took));
  }
  facts.push(text.runs.on(run.device));
  if (run.exit_code !== null && run.exit_code !== 0) {
    facts.push(text.runs.exitCode(run.exit_code));
  }
  return facts;
}
