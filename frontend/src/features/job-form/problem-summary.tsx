import { Button } from "@mantine/core";
import { Notice } from "@/components/ui/notice";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import { addressOf, type FieldProblem, needsClone } from "./field-problems";
import classes from "./problem-summary.module.css";
import type { PanelModel } from "./setting-model";

interface ProblemSummaryProps {
  panels: PanelModel[];
  problems: FieldProblem[];
  onGoTo: (name: string) => void;
  /** Opens a new job's form with what is typed; offered where only a new job may have it. */
  onClone?: () => void;
}

/** Everything that stands in the way, and what is worth knowing, with the way to each field. */
export function ProblemSummary({ panels, problems, onGoTo, onClone }: ProblemSummaryProps) {
  const errors = problems.filter(({ severity }) => severity === "error");
  const missing = problems.filter(({ severity }) => severity === "missing");
  const warnings = problems.filter(({ severity }) => severity === "warning");
  const advice = problems.filter(({ severity }) => severity === "info");
  return (
    <>
      {errors.length > 0 && (
        <Notice
          tone="bad"
          title={text.form.problemsTitle(errors.length)}
          action={
            onClone !== undefined && errors.some(needsClone) ? (
              <Button variant="default" size="xs" onClick={onClone}>
                {words.clone.withThese}
              </Button>
            ) : undefined
          }
        >
          <List panels={panels} problems={errors} onGoTo={onGoTo} />
        </Notice>
      )}
      {missing.length > 0 && (
        <Notice tone="info" title={text.form.missingTitle}>
          <List panels={panels} problems={missing} onGoTo={onGoTo} />
        </Notice>
      )}
      {warnings.length > 0 && (
        <Notice tone="warn" title={text.form.warningsTitle(warnings.length)}>
          <List panels={panels} problems={warnings} onGoTo={onGoTo} />
        </Notice>
      )}
      {advice.length > 0 && (
        <details className={classes.advice}>
          <summary>{words.views.advice(advice.length)}</summary>
          <List panels={panels} problems={advice} onGoTo={onGoTo} />
        </details>
      )}
    </>
  );
}

function List({ panels, problems, onGoTo }: ProblemSummaryProps) {
  return (
    <ul className={classes.list}>
      {problems.map((problem) => {
        const address = addressOf(panels, problem.field);
        return (
          <li key={`${problem.code} ${problem.field} ${problem.message}`}>
            {address !== null && (
              <button
                type="button"
                className={classes.link}
                aria-label={text.form.goToField(address.label)}
                onClick={() => onGoTo(address.name)}
              >
                {address.label}
              </button>
            )}
            {(address === null || problem.severity !== "missing") && (
              <span className={classes.message}>{problem.message}</span>
            )}
          </li>
        );
      })}
    </ul>
  );
}
