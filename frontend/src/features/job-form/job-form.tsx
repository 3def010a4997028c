import { Button } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import {
  type ReactNode,
  type RefObject,
  Suspense,
  useCallback,
  useMemo,
  useRef,
  useState,
} from "react";
import { problemsOf } from "@/api/errors";
import type { Device, JobConfigValue, JobSchema } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { lazyPart } from "@/components/ui/lazy-part";
import { Notice } from "@/components/ui/notice";
import { PageLoading } from "@/components/ui/page-loading";
import { formatAgo } from "@/lib/format";
import { text } from "@/messages";
import { ActionBar } from "./action-bar";
import { type ConfigPath, withValueAt } from "./config-path";
import { addressOf, type FieldProblem, withMissing } from "./field-problems";
import type { FormAid } from "./form-aid";
import { ConfigContext, FormContext, type FormContextValue } from "./form-context";
import classes from "./job-form.module.css";
import { withDefaults } from "./new-values";
import { PanelNav } from "./panel-nav";
import { PanelSection, panelId } from "./panel-section";
import { hasPlainSettings } from "./plain-view";
import { ProblemSummary } from "./problem-summary";
import { fieldId } from "./setting-field";
import { panelsOf } from "./setting-model";
import { clearDraft, isTypedSince, readDraft } from "./stored-draft";
import { UndoNotice } from "./undo-notice";
import { useApplied } from "./use-applied";
import { useKind } from "./use-kind";
import { usePlainView } from "./use-plain-view";
import { useStoredConfig } from "./use-stored-config";
import { useValidation } from "./use-validation";
import { ViewSwitch } from "./view-switch";
import type { EditorHandle } from "./yaml-editor";

const YamlEditor = lazyPart("yaml-editor", () => import("./yaml-editor"));

export interface JobFormProps {
  schema: JobSchema;
  /** The job that is edited; null for a new one. */
  jobId?: number | null;
  /** Name under which the browser keeps what is typed here. */
  storageKey: string;
  /** What the form begins with. */
  saved: JobConfigValue;
  /** What an edit began over, kept beside what is typed. */
  begun?: RefObject<JobConfigValue>;
  /** Of this machine; null while they are not known. */
  devices: Device[] | null;
  renderDatasetPicker: FormContextValue["renderDatasetPicker"];
  renderDatasetContents?: FormContextValue["renderDatasetContents"];
  /** Drawn above the panels and beside them, over what the form holds. */
  renderAbove?: (aid: FormAid) => ReactNode;
  renderBeside?: (aid: FormAid) => ReactNode;
  saveLabel: string;
  queueLabel: string;
  /** Throws what the server refuses. */
  onSave: (config: JobConfigValue) => Promise<void>;
  onQueue: (config: JobConfigValue) => Promise<void>;
  /** Opens a new job's form with what is typed here. */
  onClone?: (config: JobConfigValue) => void;
}

const NARROW = "(max-width: 48em)";

/** The ten panels, checked by the server while they are filled in. */
export function JobForm(props: JobFormProps) {
  const { schema, devices, renderDatasetPicker, renderDatasetContents } = props;
  const panels = useMemo(() => panelsOf(schema), [schema]);
  const start = useMemo(
    () => withDefaults(schema.defaults, props.saved) as JobConfigValue,
    [schema, props.saved],
  );
  const { config, kept, restoredAt, change, forget, discard } = useStoredConfig(
    props.storageKey,
    start,
    props.begun,
  );
  const jobId = props.jobId ?? null;
  const { kind, choose: chooseKind, forget: forgetKind } = useKind(props.storageKey);
  const applied = useApplied(change);
  const validation = useValidation(config, kind, jobId);
  const [refusal, setRefusal] = useState<FieldProblem[]>([]);
  const [busy, setBusy] = useState<"save" | "queue" | null>(null);
  const summary = useRef<HTMLDivElement>(null);

  const narrow = useMediaQuery(NARROW, undefined, { getInitialValueInEffect: false }) ?? false;
  const [openPanels, setOpenPanels] = useState(() => new Set(panels.slice(0, 1).map((p) => p.key)));

  const [attempted, setAttempted] = useState(false);
  const [faults, setFaults] = useState<FieldProblem[]>([]);
  const problems = useMemo(() => {
    const all = [
      ...faults,
      ...refusal,
      ...validation.problems.filter((one) => !refusal.some((said) => saysTheSame(said, one))),
    ];
    return attempted ? all : withMissing(all, config);
  }, [faults, refusal, validation.problems, attempted, config]);

  const clone = useRef(() => {});
  const [onClone] = useState(() => (props.onClone ? () => clone.current() : undefined));

  const offersPlain = useMemo(() => hasPlainSettings(panels), [panels]);
  const [asksPlain, setPlain] = usePlainView();
  const plain = offersPlain && asksPlain;
  const changeAt = useRef((path: ConfigPath, value: unknown) => {
    setRefusal([]);
    change((before) => withValueAt(before, path, value));
  });
  const context = useMemo<FormContextValue>(
    () => ({
      change: changeAt.current,
      problems,
      plain,
      onClone,
      devices,
      defaults: schema.defaults,
      renderDatasetPicker,
      renderDatasetContents,
    }),
    [
      problems,
      plain,
      onClone,
      devices,
      schema.defaults,
      renderDatasetPicker,
      renderDatasetContents,
    ],
  );

  // A text that is no job yet is kept as text: whoever comes back finds it.
  const [view, setView] = useState<"form" | "yaml">(() =>
    readDraft(`${props.storageKey}.yaml`) === null ? "form" : "yaml",
  );
  const editor = useRef<EditorHandle | null>(null);
  const [onEditorReady] = useState(() => (handle: EditorHandle | null) => {
    editor.current = handle;
  });
  const [edition, setEdition] = useState(0);
  const replaceConfig = useRef((next: JobConfigValue) => {
    setRefusal([]);
    change(() => next);
  });
  /** The editor's text is made anew from what the form holds. */
  const giveUpText = () => {
    clearDraft(`${props.storageKey}.yaml`);
    setEdition((before) => before + 1);
  };
  const changeView = async (chosen: "form" | "yaml") => {
    // What was typed last goes into the form first; a text that is no job yet is not left behind.
    if ((await settled()) !== null) {
      setView(chosen);
    }
  };

  const goTo = useCallback((name: string) => {
    if (editor.current !== null) {
      editor.current.goTo(name);
      return;
    }
    const panel = name.split(".")[0] ?? "";
    setOpenPanels((before) => new Set(before).add(panel));
    // The panel may have to unfold first.
    requestAnimationFrame(() => focusField(name));
  }, []);

  /** What is typed, whose text may be newer than the form; null if that is no job at all. */
  const settled = async () => {
    // The editor comes a moment after the page, and may find a text there.
    const isToCome = view === "yaml" && readDraft(`${props.storageKey}.yaml`) !== null;
    const held = isToCome ? null : config;
    const said = editor.current === null ? held : await editor.current.settled();
    if (said === null) {
      announce(text.yaml.unreadable);
    }
    return said;
  };

  /** A change from beside the panels: to what is typed, which is not given up for it. */
  const changeBeside = async (made: (held: JobConfigValue) => void) => {
    const held = view === "form" ? config : await settled();
    if (held !== null) {
      made(held);
      giveUpText();
    }
    return held !== null;
  };

  clone.current = async () => {
    const said = await settled();
    if (said !== null) {
      props.onClone?.(said);
    }
  };

  const submit = async (what: "save" | "queue") => {
    setBusy(what);
    setAttempted(true);
    setRefusal([]);
    try {
      const said = await settled();
      if (said === null) {
        return;
      }
      await (what === "save" ? props.onSave(said) : props.onQueue(said));
      if (!isTypedSince(props.storageKey, said)) {
        forget();
      }
    } catch (error) {
      const found = problemsOf(error).map((problem) => ({
        ...problem,
        severity: "error" as const,
      }));
      setRefusal(found);
      announce(text.form.problemsTitle(found.length));
      requestAnimationFrame(() => summary.current?.scrollIntoView({ block: "center" }));
      summary.current?.focus({ preventScroll: true });
    } finally {
      setBusy(null);
    }
  };

  const aid: FormAid = {
    config,
    panels,
    devices,
    defaults: schema.defaults,
    kind,
    onKind: chooseKind,
    onApply: (label, settings, count) =>
      changeBeside((held) => {
        setRefusal([]);
        applied.apply(held, label, settings, count);
      }),
    onSubmit: (what) => void submit(what),
  };
  return (
    <FormContext value={context}>
      <ConfigContext value={config}>
        <form
          className={classes.form}
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            void submit("queue");
          }}
        >
          <div className={classes.nav}>
            <PanelNav panels={panels} problems={problems} onGo={view === "yaml" ? goTo : null} />
          </div>
          <div ref={summary} tabIndex={-1} className={classes.summary}>
            {restoredAt !== null && (
              <Notice
                tone="info"
                role="status"
                action={
                  <Button
                    variant="default"
                    size="xs"
                    onClick={() => {
                      discard();
                      // A job that is there stays what it is to learn.
                      if (jobId === null) {
                        forgetKind();
                      }
                      giveUpText();
                    }}
                  >
                    {text.form.discard}
                  </Button>
                }
              >
                {text.form.restored(formatAgo(restoredAt))}
              </Notice>
            )}
            <UndoNotice last={applied.last} onUndo={() => void changeBeside(applied.undo)} />
            {props.renderBeside?.(aid)}
            <ProblemSummary panels={panels} problems={problems} onGoTo={goTo} onClone={onClone} />
          </div>
          <div className={classes.panels}>
            {props.renderAbove?.(aid)}
            <ViewSwitch
              view={view}
              onView={(chosen) => void changeView(chosen)}
              plain={offersPlain ? plain : null}
              onPlain={setPlain}
            />
            {view === "yaml" ? (
              <Suspense fallback={<PageLoading />}>
                <YamlEditor
                  key={edition}
                  storageKey={props.storageKey}
                  config={config}
                  problems={problems}
                  onChange={replaceConfig.current}
                  onFaults={setFaults}
                  onGiveUp={giveUpText}
                  onReady={onEditorReady}
                />
              </Suspense>
            ) : (
              panels.map((panel) => (
                <PanelSection
                  key={panel.key}
                  panel={panel}
                  value={config[panel.key]}
                  fold={
                    narrow
                      ? {
                          open: openPanels.has(panel.key),
                          onToggle: () => setOpenPanels((before) => toggled(before, panel.key)),
                        }
                      : null
                  }
                />
              ))
            )}
          </div>
          <ActionBar
            validation={validation.state}
            problems={problems}
            kept={kept}
            busy={busy}
            saveLabel={props.saveLabel}
            queueLabel={props.queueLabel}
            onSave={() => void submit("save")}
            onShowProblems={() => {
              const first = addressOf(panels, problems[0]?.field);
              if (first !== null) {
                goTo(first.name);
              }
            }}
          />
        </form>
      </ConfigContext>
    </FormContext>
  );
}

/** A refusal says all there is to say of its field, the check only that something is wrong there. */
function saysTheSame(refused: FieldProblem, checked: FieldProblem): boolean {
  const whole = refused.field === null || refused.field === undefined;
  return refused.field === checked.field && (!whole || refused.message === checked.message);
}

function toggled(set: Set<string>, key: string): Set<string> {
  const next = new Set(set);
  if (!next.delete(key)) {
    next.add(key);
  }
  return next;
}

function focusField(name: string): void {
  const element = document.getElementById(fieldId(name)) ?? document.getElementById(panelId(name));
  if (element === null) {
    return;
  }
  element.closest("details")?.setAttribute("open", "");
  const focusable = element.matches("input, textarea, select")
    ? element
    : (element.querySelector<HTMLElement>("input:checked, input, textarea, select") ?? element);
  element.scrollIntoView({ block: "center" });
  focusable.focus({ preventScroll: true });
}
