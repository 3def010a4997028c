import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { isFiltered, type JobFilter, statusesOf, type WantedState } from "@/api/job-lists";
import { queueQuery } from "@/api/queries";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import classes from "./queue-filter.module.css";

/** A request for each letter would be one for each of a word's; this many, at a pause in typing. */
const TYPING_PAUSE_MS = 180;

interface QueueFilterProps {
  filter: JobFilter;
  onChange: (change: Partial<JobFilter>) => void;
}

/** Jobs by a part of the name, by state, by architecture. */
export function QueueFilter({ filter, onChange }: QueueFilterProps) {
  const queue = useQuery(queueQuery).data;
  const [typed, setTyped] = useState(filter.search);
  const asked = useRef(filter.search);
  const search = useDebouncedCallback(
    (value: string) => {
      asked.current = value;
      onChange({ search: value });
    },
    { delay: TYPING_PAUSE_MS, flushOnUnmount: false },
  );
  // Another search than the one asked for here: a link led to it, or to none.
  useEffect(() => {
    if (filter.search !== asked.current) {
      asked.current = filter.search;
      search.cancel();
      setTyped(filter.search);
    }
  }, [filter.search, search]);
  const architectures = queue?.architectures ?? [];
  const counted = (state: WantedState) => {
    const name = state === "active" ? text.find.active : text.status[state];
    const count = statusesOf(state).reduce((sum, one) => sum + (queue?.num_jobs[one] ?? 0), 0);
    return count === 0 ? name : text.find.option(name, count);
  };

  return (
    <search className={classes.bar} aria-label={text.find.label}>
      <TextInput
        className={classes.search}
        type="search"
        aria-label={text.find.search}
        placeholder={text.find.search}
        leftSection={<Icon name="zoom" size={16} />}
        value={typed}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          search(event.currentTarget.value.trim());
        }}
      />
      <NativeSelect
        aria-label={text.find.state}
        value={filter.status ?? ""}
        onChange={(event) =>
          onChange({ status: (event.currentTarget.value || null) as WantedState | null })
        }
        data={[
          { value: "", label: text.find.anyState },
          ...(["active", ...Object.keys(text.status)] as WantedState[]).map((state) => ({
            value: state,
            label: counted(state),
          })),
        ]}
      />
      {(architectures.length > 1 || filter.architecture !== null) && (
        <NativeSelect
          aria-label={text.find.architecture}
          value={filter.architecture ?? ""}
          onChange={(event) => onChange({ architecture: event.currentTarget.value || null })}
          data={[
            { value: "", label: text.find.anyArchitecture },
            ...new Set([...architectures, ...(filter.architecture ? [filter.architecture] : [])]),
          ]}
        />
      )}
      {isFiltered(filter) && (
        <Button
          variant="default"
          leftSection={<Icon name="close" size={15} />}
          onClick={() => {
            search.cancel();
            setTyped("");
            onChange({ search: "", status: null, architecture: null });
          }}
        >
          {text.find.clear}
        </Button>
      )}
    </search>
  );
}
