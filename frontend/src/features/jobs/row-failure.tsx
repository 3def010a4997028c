import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { failureQuery } from "@/api/queries";
import type { JobSummary, Problem } from "@/api/types";
import { QueryView } from "@/components/ui/query-view";
import { text } from "@/messages";
import { CureList } from "./cure-list";
import classes from "./row-failure.module.css";

/** Why a job in the list ended, and on demand what helps: planning cures takes the server a moment. */
export function RowFailure({ job, error }: { job: JobSummary; error: Problem }) {
  const [isOpen, setOpen] = useState(false);
  const id = useId();
  const phase = job.phase === null ? undefined : text.phase[job.phase];
  return (
    <div className={classes.failure}>
      <p className={classes.message}>
        {phase === undefined ? error.message : `${phase}: ${error.message}`}
      </p>
      <Button
        size="compact-sm"
        variant="default"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        {isOpen ? text.cures.hide : text.cures.show}
      </Button>
      {isOpen && (
        <div id={id} className={classes.cures}>
          <Cures job={job} />
        </div>
      )}
    </div>
  );
}

function Cures({ job }: { job: JobSummary }) {
  const failure = useQuery(failureQuery(job.id));
  return (
    <QueryView query={failure} loading={72}>
      {(known) => known !== null && <CureList job={job} cures={known.cures} />}
    </QueryView>
  );
}
