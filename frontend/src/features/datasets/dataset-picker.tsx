import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { datasetsQuery, systemQuery } from "@/api/queries";
import type { DatasetSummary } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { QueryView } from "@/components/ui/query-view";
import { Thumbnail } from "@/components/ui/thumbnail";
import { text } from "@/messages";
import classes from "./dataset-picker.module.css";

interface DatasetPickerProps {
  id: string;
  value: string;
  onChange: (name: string) => void;
  invalid: boolean;
  /** Whether no dataset is a choice, too. */
  optional: boolean;
  labelledBy: string;
  describedBy: string;
}

/** The folders of the datasets folder as cards with pictures, one of them chosen. */
export function DatasetPicker(props: DatasetPickerProps) {
  const datasets = useQuery(datasetsQuery);
  const system = useQuery(systemQuery);
  if (datasets.isError || (props.optional && datasets.data?.length === 0)) {
    // Without a list a name can still be typed, and the server checks it.
    return (
      <div className={classes.picker}>
        <TextInput
          id={props.id}
          attributes={{ input: { "aria-describedby": props.describedBy } }}
          error={props.invalid}
          value={props.value}
          placeholder={text.datasets.other}
          onChange={(event) => props.onChange(event.currentTarget.value)}
        />
      </div>
    );
  }
  if (props.optional) {
    return <Names {...props} names={datasets.data?.map(({ name }) => name) ?? []} />;
  }
  return (
    <div className={classes.picker}>
      <QueryView query={datasets} loading={120}>
        {(list) =>
          list.length === 0 ? (
            <Notice tone="warn" title={text.datasets.emptyTitle}>
              {text.datasets.empty(system.data?.folders.datasets ?? text.datasets.folderFallback)}
            </Notice>
          ) : (
            <Cards {...props} datasets={list} />
          )
        }
      </QueryView>
      <Button
        variant="subtle"
        size="compact-sm"
        leftSection={<Icon name="refresh" size={15} />}
        loading={datasets.isRefetching}
        onClick={() => void datasets.refetch()}
        className={classes.refresh}
      >
        {text.datasets.refresh}
      </Button>
    </div>
  );
}

/** A second dataset beside the main one: a short list of names, none of them at first. */
function Names(props: DatasetPickerProps & { names: string[] }) {
  const { id, value, onChange, invalid, describedBy, names } = props;
  const strange = value === "" || names.includes(value) ? [] : [value];
  return (
    <NativeSelect
      id={id}
      attributes={{ input: { "aria-describedby": describedBy } }}
      error={invalid}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      data={[{ value: "", label: text.datasets.none }, ...strange, ...names]}
    />
  );
}

interface CardsProps extends DatasetPickerProps {
  datasets: DatasetSummary[];
}

function Cards({ id, value, onChange, labelledBy, describedBy, datasets }: CardsProps) {
  const missing = value !== "" && !datasets.some((dataset) => dataset.name === value);
  return (
    <>
      {missing && <Notice tone="warn">{text.datasets.missing(value)}</Notice>}
      <div
        id={id}
        className={classes.cards}
        role="radiogroup"
        aria-labelledby={labelledBy}
        aria-describedby={describedBy}
      >
        {datasets.map((dataset) => (
          <label key={dataset.name} className={classes.card}>
            <input
              type="radio"
              name={id}
              className={classes.radio}
              checked={dataset.name === value}
              onChange={() => onChange(dataset.name)}
              aria-label={dataset.name}
            />
            <span className={classes.pictures} aria-hidden="true">
              {[0, 1, 2, 3].map((index) => (
                <Thumbnail key={index} src={dataset.preview_urls[index] ?? null} alt="" />
              ))}
            </span>
            <span className={classes.name}>{dataset.name}</span>
            <span className={classes.facts}>
              {text.datasets.counts(dataset.num_pictures, dataset.num_captioned)}
            </span>
            {dataset.problems.length > 0 && (
              <span className={classes.problems}>
                {text.datasets.problems(dataset.problems.length)}
              </span>
            )}
          </label>
        ))}
      </div>
    </>
  );
}
