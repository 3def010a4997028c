import { type ChangeEvent, useCallback } from "react";
import type { JobSummary } from "@/api/types";
import { text } from "@/messages";
import classes from "./choose-box.module.css";
import { useChosenIds, useSelection } from "./selection";

/** A list says its rows' order by these attributes: `data-job-list` around, `data-job-id` on each. */
function orderAround(element: Element): number[] {
  const rows = element.closest("[data-job-list]")?.querySelectorAll<HTMLElement>("[data-job-id]");
  return [...(rows ?? [])].map((row) => Number(row.dataset.jobId));
}

/** Chooses one job; with Shift, all from the one chosen before. */
export function ChooseBox({ job }: { job: JobSummary }) {
  const selection = useSelection();
  const show = useCallback(
    (box: HTMLInputElement) => selection.show(job.id, box),
    [selection, job.id],
  );
  const change = (event: ChangeEvent<HTMLInputElement>) => {
    const { checked } = event.currentTarget;
    if ((event.nativeEvent as MouseEvent).shiftKey) {
      selection.setRange(job.id, orderAround(event.currentTarget), checked);
    } else {
      selection.set([job.id], checked);
    }
  };
  return (
    <label className={classes.target}>
      <input type="checkbox" className={classes.box} ref={show} onChange={change} />
      <span className="visually-hidden">
        {text.selection.choose(job.training_name || text.job.unnamed)}
      </span>
    </label>
  );
}

/** Chooses all jobs of a section that are shown, or none. */
export function ChooseAllBox({ section, jobs }: { section: string; jobs: JobSummary[] }) {
  const selection = useSelection();
  const chosen = useChosenIds();
  const count = jobs.filter(({ id }) => chosen.has(id)).length;
  const all = count === jobs.length;
  return (
    <label className={classes.target}>
      <input
        type="checkbox"
        className={classes.box}
        checked={all}
        ref={(box) => {
          if (box !== null) {
            box.indeterminate = count > 0 && !all;
          }
        }}
        onChange={() =>
          selection.set(
            jobs.map(({ id }) => id),
            !all,
          )
        }
      />
      <span className="visually-hidden">{text.selection.chooseAll(section)}</span>
    </label>
  );
}
