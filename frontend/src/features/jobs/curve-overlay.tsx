/** Other jobs' curves over this one: which, kept in the page's address, and their numbers. */

import { MultiSelect } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "wouter";
import { useTopics } from "@/api/live";
import { jobQuery, measurementsQuery, metricsQuery } from "@/api/queries";
import { text } from "@/messages";
import type { CurveSource } from "./curve-drawing";
import { useNamedJobs } from "./use-named-jobs";

const PARAMETER = "beside";
/** More lines than that cannot be told apart. */
const MOST_OTHERS = 4;

/** Ids of the jobs that lie over this one, and the way to choose others. */
export function useBeside(jobId: number): [number[], (ids: number[]) => void] {
  const [search, setSearch] = useSearchParams();
  const ids = (search.get(PARAMETER) ?? "")
    .split(",")
    .map(Number)
    .filter((id) => Number.isInteger(id) && id > 0 && id !== jobId)
    .slice(0, MOST_OTHERS);
  const choose = (chosen: number[]) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (chosen.length === 0) {
          next.delete(PARAMETER);
        } else {
          next.set(PARAMETER, chosen.join(","));
        }
        return next;
      },
      { replace: true },
    );
  return [[...new Set(ids)], choose];
}

/** Their numbers, as far as they have come; a job that is gone is left out. */
export function useOtherSources(ids: number[]): CurveSource[] {
  const jobs = useQueries({ queries: ids.map((id) => jobQuery(id)) });
  const metrics = useQueries({ queries: ids.map((id) => metricsQuery(id)) });
  const measurements = useQueries({ queries: ids.map((id) => measurementsQuery(id)) });
  return ids.flatMap((jobId, index) => {
    const name = jobs[index]?.data?.training_name;
    const steps = metrics[index]?.data;
    return name === undefined || steps === undefined
      ? []
      : [{ jobId, name, metrics: steps, measurements: measurements[index]?.data ?? [] }];
  });
}

interface OverlayPickerProps {
  jobId: number;
  chosen: number[];
  onChosen: (ids: number[]) => void;
}

export function OverlayPicker({ jobId, chosen, onChosen }: OverlayPickerProps) {
  const [asked, setAsked] = useState(false);
  const [typed, setTyped] = useState("");
  const { jobs, nothing } = useNamedJobs(typed, asked);
  const withCurves = jobs.filter(({ started_at }) => started_at !== null);
  const named = useQueries({ queries: chosen.map((id) => jobQuery(id)) });
  const names = new Map<number, string>();
  for (const job of [...withCurves, ...named.flatMap(({ data }) => data ?? [])]) {
    if (job.id !== jobId) {
      names.set(job.id, job.training_name);
    }
  }
  return (
    <>
      <MultiSelect
        size="xs"
        w={260}
        maw="100%"
        aria-label={text.curve.beside}
        placeholder={chosen.length === 0 ? text.curve.beside : undefined}
        data={[...names].map(([id, label]) => ({ value: String(id), label }))}
        value={chosen.map(String).filter((id) => names.has(Number(id)))}
        onChange={(ids) => onChosen(ids.map(Number))}
        onSearchChange={setTyped}
        onFocus={() => setAsked(true)}
        maxValues={MOST_OTHERS}
        limit={50}
        searchable
        clearable
        nothingFoundMessage={nothing(text.curve.besideNothing)}
      />
      {chosen.map((id) => (
        <Followed key={id} jobId={id} />
      ))}
    </>
  );
}

/** A curve that is laid over grows as well. */
function Followed({ jobId }: { jobId: number }) {
  useTopics(`job:${jobId}`);
  return null;
}
