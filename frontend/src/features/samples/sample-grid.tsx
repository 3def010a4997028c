import { useEffect, useRef } from "react";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import type { Place } from "./lightbox";
import classes from "./sample-grid.module.css";
import type { SampleRow, SampleTable } from "./sample-rows";

interface SampleGridProps {
  table: SampleTable;
  onOpen: (place: Place) => void;
}

export function stepTitle(step: number): string {
  return step === 0 ? text.samples.base : text.samples.step(formatCount(step));
}

/** One line of pictures for each prompt, from the base model to the latest step. */
export function SampleGrid({ table, onOpen }: SampleGridProps) {
  const scroller = useRef<HTMLElement>(null);
  const columns = table.steps.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new column scrolls into view
  useEffect(() => {
    const element = scroller.current;
    element?.scrollTo({ left: element.scrollWidth });
  }, [columns]);

  return (
    <section
      ref={scroller}
      className={classes.scroller}
      style={{ "--columns": columns }}
      aria-label={text.samples.region}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take the focus
      tabIndex={0}
    >
      <table className={classes.table}>
        <thead className="visually-hidden">
          <tr>
            <th scope="col">{text.samples.promptColumn}</th>
            {table.steps.map((step) => (
              <th key={step} scope="col">
                {stepTitle(step)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row) => (
            <Row key={row.key} row={row} steps={table.steps} onOpen={onOpen} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface RowProps {
  row: SampleRow;
  steps: number[];
  onOpen: (place: Place) => void;
}

function Row({ row, steps, onOpen }: RowProps) {
  return (
    <tr className={classes.row}>
      <th scope="row" className={classes.prompt}>
        <span className={classes.promptText}>{row.prompt || text.samples.emptyPrompt}</span>
      </th>
      {steps.map((step) => {
        const sample = row.byStep.get(step);
        return (
          <td key={step} className={classes.cell} data-base={step === 0}>
            {sample === undefined ? (
              <span className={classes.missing}>{text.samples.notDrawn}</span>
            ) : (
              <button
                type="button"
                className={classes.open}
                aria-label={text.samples.open(row.promptIndex + 1, stepTitle(step))}
                onClick={() => onOpen({ rowKey: row.key, step })}
              >
                <img
                  className={classes.picture}
                  src={sample.url}
                  width={sample.width}
                  height={sample.height}
                  alt={text.samples.alt(row.prompt, stepTitle(step))}
                  loading="lazy"
                  decoding="async"
                />
              </button>
            )}
            <span className={classes.caption} aria-hidden="true">
              {stepTitle(step)}
            </span>
          </td>
        );
      })}
    </tr>
  );
}
