/**
 * One thing done to several jobs: a few requests at a time, what went wrong said once at the end.
 *
 * There is no request for many jobs at once: each passes the door by itself, and one that is
 * refused keeps no other back.
 */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "@/api/client";
import { problemsOf } from "@/api/errors";
import { keys } from "@/api/queries";
import type { JobSummary } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { toast, toastProblem, toastWithUndo } from "@/components/ui/toast";
import { QUEUEABLE, STOPPABLE } from "@/lib/job-states";
import { text } from "@/messages";
import { useUndoDelete } from "./use-undo-delete";

const AT_A_TIME = 4;
const SHOWN_REFUSALS = 3;

export type Deed =
  | { kind: "queue" }
  | { kind: "stop" }
  | { kind: "priority"; priority: number }
  | { kind: "delete"; files: boolean };

const applies: Record<Deed["kind"], (job: JobSummary) => boolean> = {
  queue: ({ status }) => QUEUEABLE.has(status),
  stop: ({ status }) => STOPPABLE.has(status) && status !== "stopping",
  priority: ({ status }) => status === "queued" || QUEUEABLE.has(status),
  delete: ({ is_being_deleted }) => !is_being_deleted,
};

/** Those of the jobs that it can be done to. */
export function concerned(kind: Deed["kind"], jobs: JobSummary[]): JobSummary[] {
  return jobs.filter(applies[kind]);
}

/** What the server answers; to a delete, something only if the job has to stop before. */
function request(deed: Deed, { id }: JobSummary): Promise<unknown> {
  switch (deed.kind) {
    case "queue":
      return api.queueJob(id);
    case "stop":
      return api.stopJob(id);
    case "priority":
      return api.placeJob(id, { priority: deed.priority });
    case "delete":
      return api.deleteJob(id, deed.files);
  }
}

export function useBulk() {
  const client = useQueryClient();
  const undoDelete = useUndoDelete();
  const [progress, setProgress] = useState<{ done: number; all: number } | null>(null);

  /** The jobs that it was done to. */
  const run = async (deed: Deed, jobs: JobSummary[]): Promise<JobSummary[]> => {
    const all = concerned(deed.kind, jobs);
    // In the order of the page: queued together, they wait in that order.
    const waiting = [...all];
    const done: JobSummary[] = [];
    const gone: JobSummary[] = [];
    const refusals: string[] = [];
    setProgress({ done: 0, all: all.length });
    const work = async () => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
        try {
          const answer = await request(deed, job);
          done.push(job);
          if (deed.kind === "delete" && answer === undefined) {
            gone.push(job);
          }
        } catch (error) {
          refusals.push(`${job.training_name}: ${problemsOf(error)[0]?.message ?? ""}`);
        }
        setProgress({ done: done.length + refusals.length, all: all.length });
      }
    };
    // Places in the queue follow the order of the requests, so those go one after the other.
    const workers = deed.kind === "queue" ? 1 : AT_A_TIME;
    await Promise.all(Array.from({ length: workers }, work));
    setProgress(null);
    void client.invalidateQueries({ queryKey: keys.jobs });
    void client.invalidateQueries({ queryKey: keys.queue });
    void client.invalidateQueries({ queryKey: keys.trash });
    if (done.length > 0) {
      const sentence = text.selection.done[deed.kind](done.length);
      announce(sentence);
      if (gone.length > 0 && deed.kind === "delete") {
        const deleted = gone.map((job) => ({
          name: job.training_name,
          isInTrash: deed.files || job.started_at === null,
        }));
        toastWithUndo(sentence, () => undoDelete(deleted));
      } else {
        toast(sentence);
      }
    }
    if (refusals.length > 0) {
      toastProblem(
        text.selection.failed(refusals.length, all.length),
        refusals.slice(0, SHOWN_REFUSALS).join(" "),
      );
    }
    return done;
  };

  return { run, progress };
}
