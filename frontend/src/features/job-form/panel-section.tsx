import { ErrorBoundary } from "@/components/ui/error-boundary";
import { Icon } from "@/components/ui/icons";
import { useForm } from "./form-context";
import { ItemList } from "./item-list";
import classes from "./panel-section.module.css";
import { fieldId, isSaid, ProblemLine, SettingField } from "./setting-field";
import type { PanelModel } from "./setting-model";
import { useShownSettings } from "./shown-settings";

interface PanelSectionProps {
  panel: PanelModel;
  value: unknown;
  /** On a phone panels fold; null where there is room for all of them. */
  fold: { open: boolean; onToggle: () => void } | null;
}

export function panelId(key: string): string {
  return `panel-${key}`;
}

/** One of the ten panels. */
export function PanelSection({ panel, value, fold }: PanelSectionProps) {
  const titleId = `${panelId(panel.key)}-title`;
  const open = fold === null || fold.open;
  return (
    <section
      id={panelId(panel.key)}
      aria-labelledby={titleId}
      className={classes.panel}
      data-open={open}
    >
      <h2 id={titleId} className={classes.title}>
        {fold === null ? (
          panel.title
        ) : (
          <button
            type="button"
            className={classes.toggle}
            aria-expanded={open}
            onClick={fold.onToggle}
          >
            {panel.title}
            <Icon name="chevron" />
          </button>
        )}
      </h2>
      {open && (
        <ErrorBoundary>
          <PanelFields panel={panel} value={value} />
        </ErrorBoundary>
      )}
    </section>
  );
}

function PanelFields({ panel, value }: Pick<PanelSectionProps, "panel" | "value">) {
  const { problems } = useForm();
  const { setting } = panel;
  const values = (value ?? {}) as Record<string, unknown>;
  const { shown, more } = useShownSettings(setting.fields, [panel.key], values);
  if (setting.kind === "items") {
    return <ItemList setting={setting} path={[panel.key]} value={value} alone />;
  }
  if (setting.kind !== "group") {
    return <SettingField setting={setting} path={[panel.key]} value={value} />;
  }
  return (
    <div id={fieldId(panel.key)} tabIndex={-1} className={classes.fields}>
      {problems
        .filter((problem) => problem.field === panel.key && isSaid(problem))
        .map((problem) => (
          <ProblemLine key={problem.code + problem.message} problem={problem} />
        ))}
      {shown.map((field) => (
        <SettingField
          key={field.key}
          setting={field}
          path={[panel.key, field.key]}
          value={values[field.key]}
        />
      ))}
      {more}
    </div>
  );
}
