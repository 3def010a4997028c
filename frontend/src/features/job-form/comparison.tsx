import { Switch } from "@mantine/core";
import { useMemo, useState } from "react";
import type { JobConfigValue, JobSchema } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { text } from "@/messages";
import { type ComparedPanel, comparedPanels } from "./compared-settings";
import classes from "./comparison.module.css";
import { panelsOf } from "./setting-model";

export interface ComparedJob {
  name: string;
  config: JobConfigValue;
}

interface ComparisonProps {
  schema: JobSchema;
  one: ComparedJob;
  other: ComparedJob;
}

/** What two jobs have set differently; all of it at a switch. */
export function Comparison({ schema, one, other }: ComparisonProps) {
  const [all, setAll] = useState(false);
  const panels = useMemo(
    () => comparedPanels(panelsOf(schema), one.config, other.config),
    [schema, one.config, other.config],
  );
  const differing = panels.flatMap(({ settings }) => settings).filter(({ same }) => !same).length;
  const shown = panels
    .map((panel) => ({ ...panel, settings: panel.settings.filter(({ same }) => all || !same) }))
    .filter(({ settings }) => settings.length > 0);
  return (
    <Panel
      title={text.compare.differing(differing)}
      aside={
        <Switch
          label={text.compare.all}
          checked={all}
          onChange={(event) => setAll(event.currentTarget.checked)}
        />
      }
    >
      {shown.length === 0 ? (
        <Empty icon="check" title={text.compare.same} />
      ) : (
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">{text.compare.setting}</th>
              <th scope="col">{one.name}</th>
              <th scope="col">{other.name}</th>
            </tr>
          </thead>
          {shown.map((panel) => (
            <PanelRows key={panel.key} panel={panel} />
          ))}
        </table>
      )}
    </Panel>
  );
}

function PanelRows({ panel }: { panel: ComparedPanel }) {
  return (
    <tbody>
      <tr>
        <th scope="rowgroup" colSpan={3} className={classes.panel}>
          {panel.title}
        </th>
      </tr>
      {panel.settings.map(({ path, label, one, other, same }) => (
        <tr key={path} data-same={same}>
          <th scope="row">{label}</th>
          <td>{one}</td>
          <td>{other}</td>
        </tr>
      ))}
    </tbody>
  );
}
