import type { Move, Run } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { StatusPill } from "@/components/ui/status-pill";
import { formatCount, formatDuration, formatMoment, joinFacts, secondsBetween } from "@/lib/format";
import { text } from "@/messages";
import classes from "./runs-panel.module.css";

interface RunsPanelProps {
  runs: Run[];
  /** Between states, newest first. */
  moves: Move[];
}

/** Every start of the job, newest first, and every move that it made. */
export function RunsPanel({ runs, moves }: RunsPanelProps) {
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
      {moves.length > 0 && <Moves moves={moves} />}
    </Panel>
  );
}

function Moves({ moves }: { moves: Move[] }) {
  return (
    <details className={classes.moves}>
      <summary>{text.runs.moves}</summary>
      <ol className={classes.list}>
        {moves.map(({ from_status, to_status, reason, moved_at }, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: counted from the oldest, each keeps its place
          <li key={moves.length - index} className={classes.run}>
            <span>{text.runs.move(text.status[from_status], text.status[to_status])}</span>
            <span className={classes.moment}>{formatMoment(moved_at)}</span>
            <p className={classes.facts}>{reason}</p>
          </li>
        ))}
      </ol>
    </details>
  );
}

function factsOf(run: Run): string[] {
  const facts = [formatMoment(run.started_at)];
  if (run.failure_class !== null) {
    facts.unshift(text.runs.failures[run.failure_class]);
  }
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
