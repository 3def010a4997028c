import { useContext, useId } from "react";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import { type ConfigPath, pathName } from "./config-path";
import { type FieldProblem, needsClone, problemsAt } from "./field-problems";
import { ConfigContext, useForm } from "./form-context";
import { ItemList } from "./item-list";
import classes from "./setting-field.module.css";
import type { Setting } from "./setting-model";
import { SettingWidget } from "./setting-widget";
import { valueInWords } from "./setting-words";

interface SettingFieldProps {
  setting: Setting;
  path: ConfigPath;
  value: unknown;
}

/** More letters than fit into the narrow box of a number. */
const LONG_PLACEHOLDER = 26;

/** The id that links and tests reach a field by. */
export function fieldId(name: string): string {
  return `field-${name}`;
}

/** A setting with its label, help, unit, messages and the way back to its default. */
export function SettingField({ setting, path, value }: SettingFieldProps) {
  const form = useForm();
  const name = pathName(path);
  const helpId = useId();
  const labelId = useId();
  const problemsId = useId();

  if (setting.kind === "items") {
    return <ItemList setting={setting} path={path} value={value} />;
  }
  const shown = value === undefined ? setting.defaultValue : value;
  const problems = problemsAt(form.problems, name).filter(isSaid);
  const invalid = problems.some(({ severity }) => severity === "error");
  const change = (next: unknown) => form.change(path, next);

  return (
    <div
      className={classes.field}
      data-kind={setting.kind}
      data-widget={setting.widget}
      data-long-placeholder={(setting.placeholder?.length ?? 0) > LONG_PLACEHOLDER}
    >
      <div className={classes.about}>
        <div className={classes.labelLine}>
          <label id={labelId} htmlFor={fieldId(name)} className={classes.label}>
            {setting.label}
          </label>
          <ResetButton setting={setting} value={shown} onReset={change} />
        </div>
        <p id={helpId} className={classes.help}>
          {setting.help}
          {setting.guides !== null && (
            <span className={classes.guides}>{words.views.guides(setting.guides)}</span>
          )}
          {setting.noEffect !== null && (
            <span className={classes.noEffect}>{text.form.noEffect(setting.noEffect)}</span>
          )}
        </p>
      </div>
      <div className={classes.control}>
        <div className={classes.widget}>
          <SettingWidget
            setting={setting}
            id={fieldId(name)}
            labelId={labelId}
            describedBy={`${helpId} ${problemsId}`}
            value={shown}
            invalid={invalid}
            onChange={change}
          />
          {setting.unit !== null && <span className={classes.unit}>{setting.unit}</span>}
        </div>
        {setting.widget === "dataset" && setting.required && <Contents path={path} />}
        <div id={problemsId}>
          {problems.map((problem) => (
            <ProblemLine key={problem.code + problem.field + problem.message} problem={problem} />
          ))}
        </div>
      </div>
    </div>
  );
}

/** What a dataset of the list holds, below the name that chooses it. */
function Contents({ path }: { path: ConfigPath }) {
  const { renderDatasetContents } = useForm();
  const config = useContext(ConfigContext);
  const place = path.find((part) => typeof part === "number");
  return typeof place === "number" ? renderDatasetContents?.({ config, place }) : null;
}

/** What is only still to fill in is said in the list on top, not against the field. */
export function isSaid({ severity }: FieldProblem): boolean {
  return severity !== "missing";
}

export function ProblemLine({ problem }: { problem: FieldProblem }) {
  const { onClone } = useForm();
  return (
    <p className={classes.problem} data-severity={problem.severity}>
      <Icon name={problem.severity === "error" ? "failed" : "info"} size={15} />
      <span>
        {problem.message} {problem.hint}
        {onClone !== undefined && needsClone(problem) && (
          <>
            {" "}
            <button type="button" className={classes.reset} onClick={onClone}>
              {words.clone.withThese}
            </button>
          </>
        )}
      </span>
    </p>
  );
}

interface ResetButtonProps {
  setting: Setting;
  value: unknown;
  onReset: (value: unknown) => void;
}

/** Only where there is a default, and the value is another. */
function ResetButton({ setting, value, onReset }: ResetButtonProps) {
  const { defaultValue } = setting;
  if (defaultValue === undefined || value === defaultValue || typeof defaultValue === "object") {
    if (defaultValue !== null || value === null || value === undefined) {
      return null;
    }
  }
  const blank = defaultValue === null || defaultValue === "";
  const words = blank ? text.form.blank : valueInWords(setting, defaultValue);
  return (
    <button
      type="button"
      className={classes.reset}
      aria-label={text.form.resetLabel(setting.label, words)}
      onClick={() => onReset(defaultValue)}
    >
      {text.form.reset(words)}
    </button>
  );
}
