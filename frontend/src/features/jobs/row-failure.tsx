import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type RefObject, useEffect, useId, useRef, useState } from "react";
import { failureQuery } from "@/api/queries";
import type { JobSummary, Problem } from "@/api/types";
import { QueryView } from "@/components/ui/query-view";
import { text } from "@/messages";
import { CureList, useCure } from "./cure-list";
import classes from "./row-failure.module.css";

/** Why a job in the list ended, and what helps: the first cure is a button, the others are a press away. */
export function RowFailure({ job, error }: { job: JobSummary; error: Problem }) {
  const [isOpen, setOpen] = useState(false);
  const id = useId();
  const row = useRef<HTMLDivElement>(null);
  const wasSeen = useWasSeen(row);
  const phase = job.phase === null ? undefined : text.phase[job.phase];
  return (
    <div ref={row} className={classes.failure}>
      <p className={classes.message}>
        {phase === undefined ? error.message : `${phase}: ${error.message}`}
      </p>
      {job.likely_cause !== null && (
        <p className={classes.cause}>
          {text.cures.likely}: {job.likely_cause}
        </p>
      )}
      {wasSeen && !isOpen && <FirstCure job={job} />}
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

/** Nothing while it is being planned, or where no cure is known: the list says more. */
function FirstCure({ job }: { job: JobSummary }) {
  const first = useQuery(failureQuery(job.id)).data?.cures[0];
  const cure = useCure(job);
  if (first === undefined) {
    return null;
  }
  return (
    <Button
      size="compact-sm"
      className={classes.first}
      loading={cure.isPending}
      aria-label={`${text.cures.apply}: ${first.title}`}
      title={`${text.cures.apply}. ${first.why}`}
      onClick={() => cure.mutate(first)}
    >
      {first.title}
    </Button>
  );
}

/** Whether the element has ever been in sight: of a thousand rows, few are asked about. */
function useWasSeen(element: RefObject<HTMLElement | null>): boolean {
  const [wasSeen, setWasSeen] = useState(false);
  useEffect(() => {
    if (wasSeen || element.current === null) {
      return;
    }
    const observer = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) {
        setWasSeen(true);
      }
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, wasSeen]);
  return wasSeen;
}

function Cures({ job }: { job: JobSummary }) {
  const failure = useQuery(failureQuery(job.id));
  return (
    <QueryView query={failure} loading={72}>
      {(known) => known !== null && <CureList job={job} cures={known.cures} />}
    </QueryView>
  );
}
