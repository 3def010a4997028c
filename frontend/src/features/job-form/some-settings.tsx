import { useMemo } from "react";
import type { Device, JobConfigValue, JobSchema, Problem } from "@/api/types";
import { type ConfigPath, valueAt, withValueAt } from "./config-path";
import type { FieldProblem } from "./field-problems";
import { ConfigContext, FormContext, type FormContextValue } from "./form-context";
import { SettingField } from "./setting-field";
import { type PanelModel, panelsOf } from "./setting-model";
import { useShownSettings } from "./shown-settings";
import classes from "./some-settings.module.css";

interface SomeSettingsProps {
  schema: JobSchema;
  /** Keys of the panels to be shown. */
  panels: string[];
  values: JobConfigValue;
  problems: Problem[];
  /** Of this machine; null while they are not known. */
  devices: Device[] | null;
  onChange: (values: JobConfigValue) => void;
}

/** Some panels of the job form on another page, over values that are no whole job. */
export default function SomeSettings(props: SomeSettingsProps) {
  const { schema, values, onChange, devices } = props;
  const panels = useMemo(
    () => panelsOf(schema).filter(({ key }) => props.panels.includes(key)),
    [schema, props.panels],
  );
  const form: FormContextValue = {
    change: (path: ConfigPath, value: unknown) => onChange(withValueAt(values, path, value)),
    problems: props.problems.map(asFieldProblem),
    plain: true,
    devices,
    defaults: schema.defaults as JobConfigValue,
    renderDatasetPicker: () => null,
  };
  return (
    <FormContext value={form}>
      <ConfigContext value={values}>
        {panels.map((panel) => (
          <Fields key={panel.key} panel={panel} values={values} />
        ))}
      </ConfigContext>
    </FormContext>
  );
}

function Fields({ panel, values }: { panel: PanelModel; values: JobConfigValue }) {
  const own = (valueAt(values, [panel.key]) ?? {}) as Record<string, unknown>;
  const { shown, more } = useShownSettings(panel.setting.fields, [panel.key], own);
  return (
    <fieldset className={classes.panel}>
      <legend className={classes.title}>{panel.title}</legend>
      {shown.map((setting) => (
        <SettingField
          key={setting.key}
          setting={setting}
          path={[panel.key, setting.key]}
          value={own[setting.key]}
        />
      ))}
      {more}
    </fieldset>
  );
}

function asFieldProblem({ severity, ...problem }: Problem): FieldProblem {
  return { ...problem, severity: severity === "warning" ? "warning" : "error" };
}
