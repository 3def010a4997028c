import { Button } from "@mantine/core";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import { type ConfigPath, pathName } from "./config-path";
import { useForm } from "./form-context";
import classes from "./item-list.module.css";
import { newItem } from "./new-values";
import { fieldId, isSaid, ProblemLine, SettingField } from "./setting-field";
import type { Setting } from "./setting-model";
import { useShownSettings } from "./shown-settings";

interface ItemListProps {
  setting: Setting;
  path: ConfigPath;
  value: unknown;
  /** The list is its panel's only setting, whose heading already names it. */
  alone?: boolean;
}

/** A list of entries, each with settings: datasets, prompts. */
export function ItemList({ setting, path, value, alone = false }: ItemListProps) {
  const form = useForm();
  const name = pathName(path);
  const items = Array.isArray(value) ? value : [];
  const singular = text.form.singular[setting.label] ?? text.form.itemFallback;
  const own = form.problems.filter((problem) => problem.field === name && isSaid(problem));
  const full = setting.maxItems !== null && items.length >= setting.maxItems;

  return (
    <div className={classes.list} id={fieldId(name)} tabIndex={-1}>
      {!alone && (
        <div>
          <h3 className={classes.label}>{setting.label}</h3>
          <p className={classes.help}>
            {setting.help}
            {setting.guides !== null && ` ${words.views.guides(setting.guides)}`}
          </p>
        </div>
      )}
      {own.map((problem) => (
        <ProblemLine key={problem.code + problem.message} problem={problem} />
      ))}
      {items.map((item, index) => (
        <Item
          // biome-ignore lint/suspicious/noArrayIndexKey: entries have no identity but their place
          key={index}
          setting={setting}
          path={[...path, index]}
          value={item}
          title={text.form.item(capitalised(singular), index + 1)}
          removal={text.form.removeItem(singular, index + 1)}
          onRemove={
            items.length > setting.minItems
              ? () =>
                  form.change(
                    path,
                    items.filter((_, other) => other !== index),
                  )
              : null
          }
        />
      ))}
      {!full && (
        <Button
          variant="default"
          leftSection={<Icon name="plus" size={16} />}
          className={classes.add}
          onClick={() => form.change(path, [...items, newItem(setting, form.defaults, path)])}
        >
          {text.form.addItem(singular)}
        </Button>
      )}
    </div>
  );
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

interface ItemProps {
  setting: Setting;
  path: ConfigPath;
  value: unknown;
  title: string;
  removal: string;
  onRemove: (() => void) | null;
}

/** What every entry needs stands open; what only takes the place of a common value is folded. */
function Item({ setting, path, value, title, removal, onRemove }: ItemProps) {
  const values = (value ?? {}) as Record<string, unknown>;
  const { shown, more } = useShownSettings(setting.fields, path, values);
  const main = shown.filter((field) => !field.nullable);
  const own = shown.filter((field) => field.nullable);
  const ownInUse = own.some((field) => (values[field.key] ?? null) !== null);
  const draw = (field: Setting) => (
    <SettingField
      key={field.key}
      setting={field}
      path={[...path, field.key]}
      value={values[field.key]}
    />
  );
  return (
    <fieldset className={classes.item} id={fieldId(pathName(path))}>
      <legend className="visually-hidden">{title}</legend>
      <div className={classes.itemHeader}>
        <span className={classes.itemTitle} aria-hidden="true">
          {title}
        </span>
        {onRemove !== null && (
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            leftSection={<Icon name="trash" size={15} />}
            aria-label={removal}
            onClick={onRemove}
          >
            {text.form.remove}
          </Button>
        )}
      </div>
      {main.map(draw)}
      {own.length > 0 && (
        <details className={classes.own} open={ownInUse}>
          <summary>{text.form.ownSettings}</summary>
          {own.map(draw)}
        </details>
      )}
      {more}
    </fieldset>
  );
}
