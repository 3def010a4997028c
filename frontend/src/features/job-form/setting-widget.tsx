import {
  JsonInput,
  NativeSelect,
  SegmentedControl,
  Slider,
  Switch,
  TagsInput,
  Textarea,
  TextInput,
} from "@mantine/core";
import { useEffect, useRef } from "react";
import { deviceChoices } from "@/lib/device-name";
import { text } from "@/messages";
import { useForm } from "./form-context";
import { NumberWidget } from "./number-widget";
import type { Choice, Setting } from "./setting-model";
import classes from "./setting-widget.module.css";

export interface WidgetProps {
  setting: Setting;
  id: string;
  labelId: string;
  describedBy: string;
  value: unknown;
  invalid: boolean;
  onChange: (value: unknown) => void;
}

/** Longer texts than this get more than one line to be written in. */
const ONE_LINE_MAX_LENGTH = 2000;
/** Few short choices stand side by side; others are a list. */
const SIDE_BY_SIDE_CHOICES = 3;
const SIDE_BY_SIDE_LETTERS = 34;

/** The widget that the schema names, else the one of the setting's kind. */
export function SettingWidget(props: WidgetProps) {
  const { setting } = props;
  switch (setting.widget) {
    case "dataset":
      return <DatasetWidget {...props} />;
    case "device":
      return <DeviceWidget {...props} />;
    case "slider":
      if (setting.minimum !== null && setting.maximum !== null) {
        return <SliderWidget {...props} minimum={setting.minimum} maximum={setting.maximum} />;
      }
      break;
    case "text_lines":
      return <LinesWidget {...props} />;
  }
  switch (setting.kind) {
    case "switch":
      return <SwitchWidget {...props} />;
    case "choice":
      return <ChoiceWidget {...props} />;
    case "integer":
    case "number":
      return <NumberWidget {...props} />;
    case "text":
      return (setting.maxLength ?? 0) > ONE_LINE_MAX_LENGTH ? (
        <LinesWidget {...props} />
      ) : (
        <TextWidget {...props} />
      );
    case "numbers":
    case "words":
      return <ListWidget {...props} />;
    default:
      return <JsonWidget {...props} />;
  }
}

function TextWidget({ setting, id, describedBy, value, invalid, onChange }: WidgetProps) {
  return (
    <TextInput
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      required={setting.required}
      withAsterisk={false}
      placeholder={setting.placeholder ?? undefined}
      value={asText(value)}
      onChange={(event) => onChange(fromText(setting, event.currentTarget.value))}
      autoComplete="off"
      spellCheck={false}
    />
  );
}

function LinesWidget({ setting, id, describedBy, value, invalid, onChange }: WidgetProps) {
  return (
    <Textarea
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      required={setting.required}
      rows={setting.widget === "text_lines" ? 2 : 1}
      classNames={{ input: classes.lines }}
      placeholder={setting.placeholder ?? undefined}
      value={asText(value)}
      onChange={(event) => onChange(fromText(setting, event.currentTarget.value))}
    />
  );
}

function asText(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

function fromText(setting: Setting, typed: string): string | null {
  return typed === "" && setting.nullable ? null : typed;
}

function SwitchWidget({ id, describedBy, value, onChange }: WidgetProps) {
  return (
    <Switch
      id={id}
      size="md"
      aria-describedby={describedBy}
      checked={value === true}
      onChange={(event) => onChange(event.currentTarget.checked)}
    />
  );
}

function ChoiceWidget(props: WidgetProps) {
  const { setting, id, labelId, describedBy, value, invalid, onChange } = props;
  const letters = setting.choices.reduce((sum, { label }) => sum + label.length, 0);
  const known = setting.choices.some((choice) => choice.value === value);
  if (
    known &&
    !setting.nullable &&
    setting.choices.length <= SIDE_BY_SIDE_CHOICES &&
    letters <= SIDE_BY_SIDE_LETTERS
  ) {
    return (
      <SegmentedControl
        className={classes.segments}
        id={id}
        aria-labelledby={labelId}
        aria-describedby={describedBy}
        value={String(value)}
        data={setting.choices.map((choice) => ({
          value: String(choice.value),
          label: offeredAs(choice),
          disabled: choice.unavailable !== null,
        }))}
        onChange={(chosen) => onChange(choiceOf(setting, chosen))}
      />
    );
  }
  const strange = known || value === null || value === undefined ? [] : [asText(value)];
  return (
    <NativeSelect
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      value={asText(value)}
      onChange={(event) => onChange(choiceOf(setting, event.currentTarget.value))}
      data={[
        ...(setting.nullable ? [{ value: "", label: setting.placeholder ?? text.form.blank }] : []),
        ...strange,
        ...setting.choices.map((choice) => ({
          value: String(choice.value),
          label: offeredAs(choice),
          disabled: choice.unavailable !== null,
        })),
      ]}
    />
  );
}

/** What this machine cannot do stays in the list, with the reason, and cannot be chosen. */
function offeredAs({ label, unavailable, limited }: Choice): string {
  const reason = unavailable ?? limited;
  return reason === null ? label : `${label} (${reason})`;
}

function choiceOf({ choices, nullable }: Setting, chosen: string): unknown {
  if (chosen === "" && nullable) {
    return null;
  }
  return choices.find(({ value }) => String(value) === chosen)?.value ?? chosen;
}

function DeviceWidget({ id, describedBy, value, invalid, onChange }: WidgetProps) {
  const { devices } = useForm();
  const present = asText(value);
  return (
    <NativeSelect
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      value={present}
      onChange={(event) => onChange(event.currentTarget.value)}
      data={deviceChoices(devices, present)}
    />
  );
}

function DatasetWidget(props: WidgetProps) {
  const { setting, id, labelId, describedBy, value, invalid, onChange } = props;
  const { renderDatasetPicker } = useForm();
  return renderDatasetPicker({
    id,
    labelledBy: labelId,
    describedBy,
    value: asText(value),
    invalid,
    optional: !setting.required,
    onChange,
  });
}

interface SliderWidgetProps extends WidgetProps {
  minimum: number;
  maximum: number;
}

function SliderWidget({ setting, id, value, minimum, maximum, onChange }: SliderWidgetProps) {
  const step = setting.multipleOf ?? (setting.kind === "integer" ? 1 : (maximum - minimum) / 100);
  return (
    <Slider
      id={id}
      w="100%"
      min={minimum}
      max={maximum}
      step={step}
      value={typeof value === "number" ? value : minimum}
      onChange={onChange}
      thumbLabel={setting.label}
      labelAlwaysOn={false}
    />
  );
}

/** Numbers or words, each a chip; what is no number stays as typed, and the server names it. */
function ListWidget({ setting, id, describedBy, value, invalid, onChange }: WidgetProps) {
  const entries = Array.isArray(value) ? value.map(String) : [];
  const field = useRef<HTMLInputElement>(null);
  // TagsInput drops this attribute when it is given as a property.
  useEffect(() => field.current?.setAttribute("aria-describedby", describedBy), [describedBy]);
  const parse = (entry: string): string | number => {
    const number = Number(entry);
    return setting.kind === "numbers" && entry.trim() !== "" && Number.isFinite(number)
      ? number
      : entry;
  };
  return (
    <TagsInput
      id={id}
      ref={field}
      error={invalid}
      value={entries}
      onChange={(chosen) => onChange(chosen.map(parse))}
      splitChars={[",", " "]}
      acceptValueOnBlur
      placeholder={entries.length === 0 ? text.form.addToList : text.form.addMore}
      inputMode={setting.kind === "numbers" ? "numeric" : undefined}
    />
  );
}

/** Whatever no other widget knows: nothing that the server offers is out of reach. */
function JsonWidget({ id, describedBy, value, invalid, onChange }: WidgetProps) {
  return (
    <JsonInput
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      rows={2}
      classNames={{ input: classes.lines }}
      formatOnBlur
      validationError={text.form.jsonBad}
      defaultValue={value === undefined ? "" : JSON.stringify(value, null, 2)}
      onChange={(typed) => {
        try {
          onChange(typed.trim() === "" ? null : JSON.parse(typed));
        } catch {
          // Not whole yet; the widget itself says so when it is left.
        }
      }}
    />
  );
}
