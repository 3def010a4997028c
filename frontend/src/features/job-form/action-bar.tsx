import { Button } from "@mantine/core";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import classes from "./action-bar.module.css";
import type { FieldProblem } from "./field-problems";
import type { ValidationState } from "./use-validation";

interface ActionBarProps {
  validation: ValidationState["state"];
  problems: FieldProblem[];
  kept: boolean;
  busy: "save" | "queue" | null;
  saveLabel: string;
  queueLabel: string;
  onSave: () => void;
  onShowProblems: () => void;
}

/** Always in reach: how the job stands with the server, save, queue. */
export function ActionBar(props: ActionBarProps) {
  const { busy, kept } = props;
  return (
    <div className={classes.bar}>
      <div className={classes.state}>
        <Verdict {...props} />
        {kept && <span className={classes.kept}>{text.form.keptHere}</span>}
      </div>
      <Button
        variant="default"
        loading={busy === "save"}
        disabled={busy === "queue"}
        onClick={props.onSave}
      >
        {props.saveLabel}
      </Button>
      <Button
        type="submit"
        loading={busy === "queue"}
        disabled={busy === "save"}
        leftSection={<Icon name="play" size={16} />}
      >
        {props.queueLabel}
      </Button>
    </div>
  );
}

function Verdict({ validation, problems, onShowProblems }: ActionBarProps) {
  const errors = problems.filter(({ severity }) => severity === "error").length;
  if (validation === "away" || validation === "failed") {
    return (
      <span className={classes.verdict} data-tone="warn" role="status">
        {validation === "away" ? text.form.notChecked : text.form.checkFailed}
      </span>
    );
  }
  if (errors > 0) {
    return (
      <button
        type="button"
        className={classes.verdict}
        data-tone="bad"
        aria-busy={validation === "checking"}
        onClick={onShowProblems}
      >
        <Icon name="failed" size={16} />
        {text.form.problems(errors)}
      </button>
    );
  }
  const missing = problems.filter(({ severity }) => severity === "missing").length;
  if (missing > 0) {
    return (
      <button type="button" className={classes.verdict} onClick={onShowProblems}>
        {text.form.missing(missing)}
      </button>
    );
  }
  return (
    <span
      className={classes.verdict}
      data-tone={validation === "valid" ? "good" : "soft"}
      role="status"
    >
      {validation === "valid" && <Icon name="check" size={16} />}
      {validation === "valid" ? text.form.ready : text.form.checking}
    </span>
  );
}
