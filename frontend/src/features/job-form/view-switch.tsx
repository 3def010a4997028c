import { SegmentedControl } from "@mantine/core";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import classes from "./view-switch.module.css";

interface ViewSwitchProps {
  view: "form" | "yaml";
  onView: (view: "form" | "yaml") => void;
  /** Null where every setting is shown anyway. */
  plain: boolean | null;
  onPlain: (plain: boolean) => void;
}

/** The job as a form or as text; of the form, what most people touch or everything. */
export function ViewSwitch({ view, onView, plain, onPlain }: ViewSwitchProps) {
  return (
    <div className={classes.views}>
      <SegmentedControl
        aria-label={text.form.view}
        value={view}
        data={[
          { value: "form", label: text.form.asForm },
          { value: "yaml", label: text.form.asYaml },
        ]}
        onChange={onView}
      />
      {plain !== null && view === "form" && (
        <SegmentedControl
          aria-label={words.views.settings}
          value={plain ? "plain" : "complete"}
          data={[
            { value: "plain", label: words.views.plain },
            { value: "complete", label: words.views.complete },
          ]}
          onChange={(chosen) => onPlain(chosen === "plain")}
        />
      )}
    </div>
  );
}
