import { useState } from "react";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import type { CurveDrawing, CurveMark } from "./curve-drawing";
import classes from "./curve-table.module.css";

const ROWS = 40;

interface CurveTableProps {
  drawing: CurveDrawing;
  marks: CurveMark[];
}

/** The curve in numbers: evenly chosen steps, and every one that was measured or saved. */
export function CurveTable({ drawing, marks }: CurveTableProps) {
  const [opened, setOpened] = useState(false);
  return (
    <details className={classes.details} onToggle={(event) => setOpened(event.currentTarget.open)}>
      <summary>{text.curve.table}</summary>
      {opened && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take the focus
        <section className={classes.scroll} aria-label={text.curve.table} tabIndex={0}>
          <table className={classes.table}>
            <thead>
              <tr>
                <th scope="col">{text.curve.step}</th>
                {drawing.lines.map(({ id, label }) => (
                  <th key={id} scope="col">
                    {label}
                  </th>
                ))}
                <th scope="col">{text.curve.marks}</th>
              </tr>
            </thead>
            <tbody>
              {chosenPlaces(drawing, marks).map((place) => {
                const step = drawing.steps[place] ?? 0;
                return (
                  <tr key={step}>
                    <th scope="row">{formatCount(step)}</th>
                    {drawing.lines.map(({ id, values }) => (
                      <td key={id}>{formatLoss(values[place])}</td>
                    ))}
                    <td>
                      {marks
                        .filter((mark) => mark.step === step)
                        .map(({ kind }) => text.curve.mark[kind])
                        .join(", ")}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </section>
      )}
    </details>
  );
}

function chosenPlaces({ steps, lines }: CurveDrawing, marks: CurveMark[]): number[] {
  const marked = new Set(marks.map(({ step }) => step));
  const stride = Math.max(1, Math.ceil(steps.length / ROWS));
  const measured = lines.filter(({ kind }) => kind.source === "measurement");
  return steps.flatMap((step, place) => {
    const isWanted =
      place % stride === 0 ||
      place === steps.length - 1 ||
      marked.has(step) ||
      measured.some(({ values }) => values[place] !== null);
    return isWanted ? [place] : [];
  });
}
