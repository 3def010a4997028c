import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";
import { type JobFilter, noFilter, type WantedState } from "@/api/job-lists";
import { text } from "@/messages";

/** What is looked for stands in the address: it outlives a reload and can be sent to somebody. */
export function useJobFilter(): [JobFilter, (change: Partial<JobFilter>) => void] {
  const [parameters, setParameters] = useSearchParams();
  const search = parameters.get("search") ?? "";
  const architecture = parameters.get("architecture");
  const state = parameters.get("state");
  const filter = useMemo((): JobFilter => {
    const isKnown = state === "active" || (state !== null && Object.hasOwn(text.status, state));
    const status = isKnown ? (state as WantedState) : null;
    return search === "" && architecture === null && status === null
      ? noFilter
      : { search, architecture, status };
  }, [search, architecture, state]);

  const change = useCallback(
    (changes: Partial<JobFilter>) => {
      const next = { ...filter, ...changes };
      const entries = Object.entries({
        search: next.search,
        state: next.status,
        architecture: next.architecture,
      }).filter((entry): entry is [string, string] => Boolean(entry[1]));
      setParameters(Object.fromEntries(entries), { replace: true });
    },
    [filter, setParameters],
  );
  return [filter, change];
}
