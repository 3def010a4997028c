import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { jobNamesQuery } from "@/api/queries";
import type { JobSummary } from "@/api/types";
import { text } from "@/messages";

interface JobSelectProps {
  label: string;
  /** The job that is not offered. */
  except: number;
  chosen: Pick<JobSummary, "id" | "training_name"> | null;
  onChosen: (id: number) => void;
}

/** Another job, by its name. */
export function JobSelect({ label, except, chosen, onChosen }: JobSelectProps) {
  const [asked, setAsked] = useState(false);
  const jobs = useQuery({ ...jobNamesQuery, enabled: asked });
  const names = new Map<number, string>();
  for (const { id, training_name } of [...(jobs.data ?? []), ...(chosen ? [chosen] : [])]) {
    if (id !== except) {
      names.set(id, training_name || text.job.unnamed);
    }
  }
  return (
    <Select
      label={label}
      w={320}
      maw="100%"
      data={[...names].map(([id, name]) => ({ value: String(id), label: name }))}
      value={chosen === null ? null : String(chosen.id)}
      onFocus={() => setAsked(true)}
      onChange={(id) => id !== null && onChosen(Number(id))}
      placeholder={text.compare.choose}
      limit={50}
      searchable
      nothingFoundMessage={jobs.isPending ? text.app.loading : text.compare.none}
    />
  );
}
