/** Loaded when a running job is to be changed: it needs the form's widgets. */

import { Button, Drawer } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { api } from "@/api/client";
import { problemsOf } from "@/api/errors";
import { commandsQuery, jobSchemaQuery, keys } from "@/api/queries";
import type { Job, JobSchema } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { useFocusBack } from "@/components/ui/focus-back";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { QueryView } from "@/components/ui/query-view";
import { formatAgo } from "@/lib/format";
import { text } from "@/messages";
import classes from "./change-drawer.module.css";
import { ChangeList } from "./change-list";
import type { FieldProblem } from "./field-problems";
import { FormContext, type FormContextValue } from "./form-context";
import {
  asAsked,
  type Changes,
  changeablePanels,
  changedAt,
  changeForm,
  realChanges,
  withChanges,
} from "./running-changes";
import { SettingField } from "./setting-field";
import { panelsOf } from "./setting-model";
import { useStoredConfig } from "./use-stored-config";
import { useValidation } from "./use-validation";

interface ChangeDrawerProps {
  job: Job;
  opened: boolean;
  onClose: () => void;
  renderDatasetPicker: FormContextValue["renderDatasetPicker"];
}

/** What may change while a job trains, and nothing else. */
export default function ChangeDrawer(props: ChangeDrawerProps) {
  useFocusBack(props.opened);
  const schema = useQuery(jobSchemaQuery);
  return (
    <Drawer.Root
      opened={props.opened}
      onClose={props.onClose}
      position="right"
      size="min(760px, 100vw)"
      classNames={{ content: classes.content }}
    >
      <Drawer.Overlay />
      <Drawer.Content aria-label={text.changes.title}>
        <Drawer.Body className={classes.body}>
          <div className={classes.head}>
            <h2 className={classes.title}>{text.changes.title}</h2>
            <Drawer.CloseButton aria-label={text.changes.close} />
          </div>
          <p className={classes.lead}>{text.changes.lead}</p>
          <QueryView query={schema} loading={480}>
            {(loaded) => <ChangeForm {...props} schema={loaded} />}
          </QueryView>
        </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}

function ChangeForm({
  job,
  schema,
  renderDatasetPicker,
}: ChangeDrawerProps & { schema: JobSchema }) {
  const client = useQueryClient();
  const commands = useQuery(commandsQuery(job.id)).data ?? [];
  const asked = commands.filter(({ command }) => command === "change");
  const panels = useMemo(() => changeablePanels(panelsOf(schema), schema.changeable), [schema]);
  const base = asAsked(job.config, asked);
  const stored = useStoredConfig(changeForm(job.id), {});
  const { config: typed, restoredAt, change, discard } = stored;
  const changes: Changes = realChanges(base, typed);
  const count = Object.keys(changes).length;
  const shown = withChanges(base, changes);
  const wire = JSON.stringify(shown);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same config is asked about once
  const questioned = useMemo(() => (count === 0 ? null : shown), [wire, count === 0]);
  const validation = useValidation(questioned, null, job.id);
  const running = job.status === "running";

  const send = useMutation({
    mutationFn: (sent: Changes) => api.changeJob(job.id, sent),
    onSuccess: (_, sent) => {
      // What was typed while it was sent is still to be sent.
      const since = realChanges(withChanges(base, sent), stored.held());
      if (Object.keys(since).length === 0) {
        discard();
      } else {
        change(() => since);
      }
      announce(text.changes.sent);
      return client.invalidateQueries({ queryKey: keys.commands(job.id) });
    },
    onError: (error) => announce(text.form.problemsTitle(problemsOf(error).length)),
  });
  const refused = send.isError
    ? problemsOf(send.error).map((one) => ({ ...one, severity: "error" as const }))
    : [];
  const found = validation.problems.filter(
    (one) =>
      one.severity === "error" && schema.changeable.some((path) => belongsTo(one.field, path)),
  );
  const problems: FieldProblem[] = [
    ...refused,
    ...found.filter(({ field }) => refused.every((said) => said.field !== field)),
  ];
  const elsewhere = problems.filter(
    ({ field }) => !schema.changeable.some((path) => belongsTo(field, path)),
  );

  // Fields keep this function; what it needs of the latest drawing it reads here.
  const latest = useRef({ base, send });
  latest.current = { base, send };
  const [changeAt] = useState(() => (path: readonly (string | number)[], value: unknown) => {
    if (latest.current.send.isError) {
      latest.current.send.reset();
    }
    change((before) => changedAt(latest.current.base, before, path, value));
  });
  const context: FormContextValue = {
    change: changeAt,
    problems,
    plain: false,
    devices: null,
    defaults: schema.defaults,
    renderDatasetPicker,
  };

  return (
    <FormContext value={context}>
      <form
        noValidate
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (running && count > 0) {
            send.mutate(changes);
          }
        }}
      >
        {!running && (
          <Notice tone="info" title={text.changes.notRunningTitle}>
            {text.changes.notRunning}
          </Notice>
        )}
        {restoredAt !== null && count > 0 && (
          <Notice tone="info" role="status">
            {text.form.restored(formatAgo(restoredAt))}
          </Notice>
        )}
        {elsewhere.length > 0 && (
          <Notice tone="bad" role="alert" title={text.form.problemsTitle(elsewhere.length)}>
            <ProblemList problems={elsewhere} />
          </Notice>
        )}
        <ChangeList commands={asked.slice(0, 3)} panels={panels} />
        {panels.map((panel) => (
          <section key={panel.key} aria-labelledby={`change-${panel.key}`}>
            <h3 id={`change-${panel.key}`} className={classes.panelTitle}>
              {panel.title}
            </h3>
            {panel.setting.fields.map((field) => (
              <SettingField
                key={field.key}
                setting={field}
                path={[panel.key, field.key]}
                value={(shown[panel.key] as Record<string, unknown> | undefined)?.[field.key]}
              />
            ))}
          </section>
        ))}
        <div className={classes.bar}>
          <span className={classes.count} role="status">
            {text.changes.count(count)}
          </span>
          {count > 0 && (
            <Button variant="default" onClick={discard}>
              {text.form.discard}
            </Button>
          )}
          <Button type="submit" loading={send.isPending} disabled={!running || count === 0}>
            {text.changes.send}
          </Button>
        </div>
      </form>
    </FormContext>
  );
}

function belongsTo(field: string | null | undefined, path: string): boolean {
  return field === path || field?.startsWith(`${path}.`) === true;
}
