import { Button, NativeSelect, Switch, Textarea, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { api } from "@/api/client";
import { ApiError, problemsOf } from "@/api/errors";
import { systemQuery } from "@/api/queries";
import type { Problem, WholeDrawing } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { Panel } from "@/components/ui/panel";
import { toastFailure } from "@/components/ui/toast";
import { deviceChoices } from "@/lib/device-name";
import { useAnswer } from "@/lib/use-answer";
import { words } from "@/messages/drawings";
import {
  architectureOf,
  configOf,
  type Draft,
  MOST_SEEDS,
  numPictures,
  withArchitecture,
} from "./draft";
import { DrawBar } from "./draw-bar";
import classes from "./drawing-form.module.css";
import { isOf, LoraField } from "./lora-field";
import { NumberField } from "./number-field";
import { PromptList } from "./prompt-list";
import { ReferenceField } from "./reference-field";
import { StrengthField } from "./strength-field";
import { useAddLora } from "./use-add-lora";

export interface ModelFieldsProps {
  values: Record<string, unknown>;
  problems: Problem[];
  onChange: (values: Record<string, unknown>) => void;
}

interface DrawingFormProps {
  draft: Draft;
  change: (next: (draft: Draft) => Draft) => void;
  onStartOver: () => void;
  onDrawn: (drawing: WholeDrawing) => void;
  /** Draws the panels Model and Quantization of the job form, which are another feature's. */
  renderModel: (props: ModelFieldsProps) => ReactNode;
}

/** What to draw, judged by the server while it is typed. */
export function DrawingForm({
  draft,
  change,
  onStartOver,
  onDrawn,
  renderModel,
}: DrawingFormProps) {
  const add = useAddLora(change);
  const [isDrawing, setDrawing] = useState(false);
  // What was refused when it was queued; over with the next change.
  const [refused, setRefused] = useState<{ draft: Draft; problems: Problem[] } | null>(null);
  const config = configOf(draft);
  const answer = useAnswer(numPictures(draft) === 0 ? null : JSON.stringify(config), (signal) =>
    api.validateDrawing(config, signal),
  );
  const errors = refused?.draft === draft ? refused.problems : (answer.data?.errors ?? []);
  const set = (part: Partial<Draft>) => change((before) => ({ ...before, ...part }));
  const ofLoras = errors.filter((one) => draft.loras.some((lora, place) => isOf(one, lora, place)));

  const draw = async () => {
    setDrawing(true);
    try {
      onDrawn(await api.createDrawing(config, draft.isFirst ? 1 : 0));
    } catch (error) {
      if (error instanceof ApiError && error.status === 422) {
        setRefused({ draft, problems: problemsOf(error) });
      } else {
        toastFailure(words.form.failed, error);
      }
    } finally {
      setDrawing(false);
    }
  };

  return (
    <Panel
      title={words.form.title}
      aside={
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<Icon name="refresh" size={14} />}
          onClick={onStartOver}
        >
          {words.form.startOver}
        </Button>
      }
    >
      <form
        className={classes.form}
        noValidate
        // Enter in a field is no wish to draw; with Control it is, from a prompt as well.
        onSubmit={(event) => event.preventDefault()}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            event.currentTarget.querySelector<HTMLElement>("button[type=submit]")?.click();
          }
        }}
      >
        <LoraField
          draft={draft}
          problems={ofLoras}
          onAdd={add}
          onRemove={(file) =>
            change((before) => ({
              ...before,
              loras: before.loras.filter((lora) => lora.file !== file),
            }))
          }
          onWithBase={(withBase) => set({ withBase })}
        />
        {draft.loras.length > 0 && (
          <StrengthField strengths={draft.strengths} onChange={(strengths) => set({ strengths })} />
        )}
        <PromptList
          prompts={draft.prompts}
          triggerWord={draft.triggerWord}
          onChange={(prompts) => set({ prompts })}
        />
        <ReferenceField
          names={draft.references}
          problems={errors.filter(({ field }) => /^pictures\.0\.control_images/.test(field ?? ""))}
          onChange={(next) =>
            change((before) => ({ ...before, references: next(before.references) }))
          }
        />
        <PictureFields draft={draft} set={set} />
        <Folded title={words.form.more}>
          <TextInput
            label={words.settings.trigger}
            value={draft.triggerWord}
            maxLength={64}
            autoComplete="off"
            onChange={(event) => set({ triggerWord: event.currentTarget.value })}
          />
          <Textarea
            label={words.settings.negative}
            autosize
            minRows={1}
            maxRows={6}
            value={draft.negativePrompt}
            onChange={(event) => set({ negativePrompt: event.currentTarget.value })}
          />
          <DeviceField gpu={draft.gpu} onChange={(gpu) => set({ gpu })} />
          <Switch
            label={words.settings.first}
            checked={draft.isFirst}
            onChange={(event) => set({ isFirst: event.currentTarget.checked })}
          />
        </Folded>
        <Folded title={words.settings.model} beside={architectureOf(draft)}>
          {renderModel({
            values: { model: draft.model, quantization: draft.quantization },
            problems: errors,
            onChange: ({ model, quantization }) =>
              change((before) => withModel(before, asPanel(model), asPanel(quantization))),
          })}
        </Folded>
        <DrawBar
          draft={draft}
          answer={answer}
          errors={errors.filter((one) => !ofLoras.includes(one))}
          numErrors={errors.length}
          isDrawing={isDrawing}
          onDraw={() => void draw()}
        />
      </form>
    </Panel>
  );
}

interface FoldedProps {
  title: string;
  /** What is set in it, in a word. */
  beside?: string | null;
  children: ReactNode;
}

/** What most people leave as it is; not even made before it is asked for. */
function Folded({ title, beside = null, children }: FoldedProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details className={classes.more} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {title}
        {beside !== null && <span className={classes.beside}>{beside}</span>}
      </summary>
      {isOpen && <div className={classes.moreBody}>{children}</div>}
    </details>
  );
}

interface PictureFieldsProps {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
}

function PictureFields({ draft, set }: PictureFieldsProps) {
  const { own } = words.settings;
  return (
    <div className={classes.numbers}>
      <NumberField
        label={words.settings.seed}
        value={draft.seed}
        isWhole
        onChange={(seed) => set({ seed })}
      />
      <NativeSelect
        label={words.settings.seeds}
        value={String(draft.numSeeds)}
        data={Array.from({ length: MOST_SEEDS }, (_, index) => String(index + 1))}
        onChange={(event) => set({ numSeeds: Number(event.currentTarget.value) })}
      />
      <NumberField
        label={words.settings.width}
        value={draft.width}
        isWhole
        blank={own}
        onChange={(width) => set({ width })}
      />
      <NumberField
        label={words.settings.height}
        value={draft.height}
        isWhole
        blank={own}
        onChange={(height) => set({ height })}
      />
      <NumberField
        label={words.settings.guidance}
        value={draft.guidance}
        blank={own}
        onChange={(guidance) => set({ guidance })}
      />
      <NumberField
        label={words.settings.steps}
        value={draft.sampleSteps}
        isWhole
        blank={own}
        onChange={(sampleSteps) => set({ sampleSteps })}
      />
    </div>
  );
}

function DeviceField({ gpu, onChange }: { gpu: string; onChange: (gpu: string) => void }) {
  const devices = useQuery(systemQuery).data?.devices ?? null;
  return (
    <NativeSelect
      label={words.settings.gpu}
      value={gpu}
      data={deviceChoices(devices, gpu)}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

/** Another architecture is another model; what was set for the one before goes with it. */
function withModel(
  draft: Draft,
  model: Record<string, unknown>,
  quantization: Record<string, unknown>,
): Draft {
  const architecture = model.model_architecture;
  return typeof architecture === "string" && architecture !== architectureOf(draft)
    ? { ...withArchitecture(draft, architecture), quantization }
    : { ...draft, model, quantization };
}

function asPanel(value: unknown): Record<string, unknown> {
  return (value ?? {}) as Record<string, unknown>;
}
