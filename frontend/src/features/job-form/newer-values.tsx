import { Button } from "@mantine/core";
import type { JobConfigValue } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { words } from "@/messages/job-form";
import type { FormAid } from "./form-aid";
import { withDefaults } from "./new-values";
import { changedSettings, SettingDiff } from "./setting-diff";

interface NewerValuesProps {
  aid: FormAid;
  /** What the job has by now. */
  newer: JobConfigValue;
  /** One of them was chosen: what is saved from now on replaces the newer values. */
  onSeen: () => void;
  /** Try again what was refused. */
  onSave: () => void;
}

/** The job was saved elsewhere while it was edited here: those values, or these in their place. */
export function NewerValues({ aid, newer, onSeen, onSave }: NewerValuesProps) {
  const theirs = withDefaults(aid.defaults, newer) as JobConfigValue;
  const load = async () => {
    const count = changedSettings(aid.panels, aid.config, theirs).length;
    if (await aid.onApply(words.newer.label, theirs, count)) {
      onSeen();
    }
  };
  return (
    <Notice
      tone="warn"
      title={words.newer.title}
      action={
        <>
          <Button variant="default" size="xs" onClick={() => void load()}>
            {words.newer.load}
          </Button>
          <Button
            variant="default"
            size="xs"
            onClick={() => {
              onSeen();
              onSave();
            }}
          >
            {words.newer.save}
          </Button>
        </>
      }
    >
      <p>{words.newer.lead}</p>
      <SettingDiff
        title={words.newer.table}
        panels={aid.panels}
        config={aid.config}
        settings={theirs}
      />
    </Notice>
  );
}
