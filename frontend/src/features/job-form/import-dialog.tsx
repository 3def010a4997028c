/** A job file from elsewhere, read by the server: what it becomes, and what it does not and why. */

import { Button, FileInput, Textarea } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "@/api/client";
import { problemsOf } from "@/api/errors";
import type { ImportedJob, JobConfigValue } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { words } from "@/messages/job-form";
import { addressOf } from "./field-problems";
import type { FormAid } from "./form-aid";
import classes from "./import-dialog.module.css";
import { withDefaults } from "./new-values";
import { changedSettings } from "./setting-diff";
import type { PanelModel } from "./setting-model";

interface ImportDialogProps {
  aid: FormAid;
  opened: boolean;
  onClose: () => void;
}

export default function ImportDialog({ aid, opened, onClose }: ImportDialogProps) {
  const [typed, setTyped] = useState("");
  const [name, setName] = useState(words.importing.pasted);
  const read = useMutation({ mutationFn: (text: string) => api.importJob(text) });
  const found = read.data;

  const choose = async (file: File | null) => {
    if (file !== null) {
      const text = await file.text();
      setTyped(text);
      setName(file.name);
      read.mutate(text);
    }
  };
  const use = (config: JobConfigValue) => {
    const whole = filledUp(aid.defaults, config);
    const count = changedSettings(aid.panels, aid.config, whole).length;
    void aid.onApply(words.importing.label(name), whole, count);
    onClose();
  };
  return (
    <Dialog title={words.importing.title} opened={opened} onClose={onClose}>
      <div className={classes.dialog}>
        <p className={classes.lead}>{words.importing.lead}</p>
        <FileInput
          label={words.importing.file}
          placeholder={words.importing.noFile}
          accept=".yaml,.yml,.json"
          onChange={(file) => void choose(file)}
        />
        <Textarea
          label={words.importing.text}
          classNames={{ input: classes.text }}
          rows={5}
          spellCheck={false}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            setName(words.importing.pasted);
            read.reset();
          }}
        />
        {read.isError && (
          <Notice tone="bad" role="alert">
            {problemsOf(read.error)[0]?.message ?? words.importing.away}
          </Notice>
        )}
        {found !== undefined && <Account found={found} panels={aid.panels} />}
        <div className={classes.actions}>
          <Button variant="default" onClick={onClose}>
            {words.importing.cancel}
          </Button>
          {found?.config ? (
            <Button onClick={() => use(found.config as JobConfigValue)}>
              {words.importing.use}
            </Button>
          ) : (
            <Button
              disabled={typed.trim() === ""}
              loading={read.isPending}
              onClick={() => read.mutate(typed)}
            >
              {words.importing.read}
            </Button>
          )}
        </div>
      </div>
    </Dialog>
  );
}

/** What the file leaves open is the default, in each of its datasets too. */
function filledUp(defaults: JobConfigValue, config: JobConfigValue): JobConfigValue {
  const whole = withDefaults(defaults, config) as JobConfigValue;
  const [dataset] = Array.isArray(defaults.datasets) ? defaults.datasets : [];
  const given = Array.isArray(whole.datasets) ? whole.datasets : [];
  return { ...whole, datasets: given.map((one) => withDefaults(dataset, one)) };
}

function Account({ found, panels }: { found: ImportedJob; panels: PanelModel[] }) {
  if (found.source === null) {
    return (
      <Notice tone="bad" role="alert">
        <ProblemList problems={found.errors} />
      </Notice>
    );
  }
  const matters = found.left_out.filter((one) => one.matters);
  const harmless = found.left_out.filter((one) => !one.matters);
  return (
    <div className={classes.account} role="status">
      <p className={classes.lead}>{words.importing.sources[found.source]}</p>
      <h3>{words.importing.matters(matters.length)}</h3>
      {matters.length > 0 && <LeftOut rows={matters} />}
      {found.carried.length > 0 && (
        <details>
          <summary>{words.importing.carried(found.carried.length)}</summary>
          <Carried rows={found.carried} panels={panels} />
        </details>
      )}
      {harmless.length > 0 && (
        <details>
          <summary>{words.importing.harmless(harmless.length)}</summary>
          <LeftOut rows={harmless} />
        </details>
      )}
    </div>
  );
}

function LeftOut({ rows }: { rows: ImportedJob["left_out"] }) {
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          <th scope="col">{words.importing.theirs}</th>
          <th scope="col">{words.importing.value}</th>
          <th scope="col">{words.importing.reason}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.theirs}>
            <th scope="row">{row.theirs}</th>
            <td>{inText(row.value)}</td>
            <td>{row.reason}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface CarriedProps {
  rows: ImportedJob["carried"];
  panels: PanelModel[];
}

function Carried({ rows, panels }: CarriedProps) {
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          <th scope="col">{words.importing.theirs}</th>
          <th scope="col">{words.importing.ours}</th>
          <th scope="col">{words.importing.value}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={`${row.theirs} ${row.ours}`}>
            <th scope="row">{row.theirs}</th>
            <td>
              {addressOf(panels, row.ours)?.label ?? row.ours}
              {row.note !== "" && <span className={classes.note}>{row.note}</span>}
            </td>
            <td>{inText(row.value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function inText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
