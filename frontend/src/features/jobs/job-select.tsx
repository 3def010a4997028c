import { Select } from "@mantine/core";
import { useState } from "react";
import type { JobSummary } from "@/api/types";
import { text } from "@/messages";
import { useNamedJobs } from "./use-named-jobs";

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
  const [typed, setTyped] = useState("");
  // The field holds the name of the chosen one until another is typed.
  const { jobs, nothing } = useNamedJobs(typed === chosen?.training_name ? "" : typed, asked);
  const names = new Map<number, string>();
  for (const { id, training_name } of [...jobs, ...(chosen ? [chosen] : [])]) {
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
      onSearchChange={setTyped}
      onChange={(id) => id !== null && onChosen(Number(id))}
      placeholder={text.compare.choose}
      limit={50}
      searchable
      nothingFoundMessage={nothing(text.compare.none)}
    />
  );
}
