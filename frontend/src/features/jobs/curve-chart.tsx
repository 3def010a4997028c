/** The drawn curve. Loaded when a job page asks for it: uPlot is no part of the first load. */

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import classes from "./curve-chart.module.css";
import type { CurveDrawing, CurveLine, CurveMark } from "./curve-drawing";
import { otherScales } from "./curve-kinds";

/** First and last step in sight; null for all of them. */
export type StepRange = [number, number] | null;

interface CurveChartProps {
  drawing: CurveDrawing;
  marks: CurveMark[];
  logScale: boolean;
  range: StepRange;
  onRange: (range: StepRange) => void;
  label: string;
}

const HEIGHT_PX = 340;

/** Distances between marked steps: 1, 2, 5, 10 … and never a part of a step. */
const STEPS_BETWEEN_MARKS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((unit) => [
  unit,
  2 * unit,
  5 * unit,
]);

/** The page's own job is drawn through; each other job has a dash of its own. */
const DASHES: (number[] | undefined)[] = [undefined, [7, 4], [2, 3], [10, 3, 2, 3], [4, 2]];

export default function CurveChart(props: CurveChartProps) {
  const { drawing, marks, logScale, range, label } = props;
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  const scheme = useComputedColorScheme("light");
  const lines = drawing.lines.map(({ id }) => id).join("\n");

  // Other lines, another scale or scheme make a new plot; new points only new data.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the scheme changes the CSS variables
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    const drawn = new uPlot(
      options(element, drawing.lines, logScale, latest),
      dataOf(drawing, logScale),
      element,
    );
    plot.current = drawn;
    show(drawn, latest.current.range);
    const observer = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [lines, logScale, scheme]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: marks are read when it draws
  useEffect(() => {
    const drawn = plot.current;
    if (drawn !== null) {
      // Somebody who has zoomed in keeps the view; everybody else sees the curve grow.
      drawn.setData(dataOf(drawing, logScale), range === null);
      show(drawn, range);
    }
  }, [drawing, marks, range, logScale]);

  return <div ref={frame} className={classes.chart} role="img" aria-label={label} />;
}

function show(plot: uPlot, range: StepRange): void {
  if (range !== null) {
    plot.setScale("x", { min: range[0], max: range[1] });
  }
}

/** Nothing at or below zero has a place on a log scale. */
function dataOf({ steps, lines }: CurveDrawing, logScale: boolean): uPlot.AlignedData {
  const columns = lines.map(({ values }) =>
    logScale ? values.map((value) => (value !== null && value > 0 ? value : null)) : values,
  );
  return [steps, ...columns] as uPlot.AlignedData;
}

function options(
  element: HTMLElement,
  lines: CurveLine[],
  logScale: boolean,
  latest: { current: CurveChartProps },
): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const distr = logScale ? 3 : 1;
  const used = new Set<string>(lines.map(({ kind }) => kind.scale));
  const axis = {
    stroke: colour("--ink-soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    padding: [12, 12, 0, 0],
    cursor: {
      points: { size: 7 },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          latest.current.onRange(null);
          return null;
        },
      },
    },
    legend: {
      live: true,
      markers: { width: 0, fill: (_, index) => colour(lines[index - 1]?.kind.colour ?? "") },
    },
    scales: {
      x: { time: false },
      loss: { distr },
      ...Object.fromEntries(otherScales.map((scale) => [scale, { distr }])),
    },
    axes: [
      {
        ...axis,
        incrs: STEPS_BETWEEN_MARKS,
        values: (_, steps) => steps.map((step) => formatCount(step)),
      },
      { ...axis, scale: "loss", size: 62, values: axisValues, show: used.has("loss") },
      ...otherScales.map((scale) => ({
        ...axis,
        scale,
        side: 1 as const,
        size: 66,
        grid: { show: false },
        values: axisValues,
        show: used.has(scale),
      })),
    ],
    series: [
      { label: text.curve.step, value: (_, step) => (step === null ? "–" : formatCount(step)) },
      ...lines.map(({ label, kind, source }) => ({
        label,
        scale: kind.scale,
        stroke: colour(kind.colour),
        width: kind.key === "smoothed" ? 2.2 : 1.4,
        dash: DASHES[source % DASHES.length],
        points: {
          show: kind.source === "measurement",
          size: 6,
          fill: colour(kind.colour),
        },
        spanGaps: true,
        value: (_: uPlot, value: number | null) => formatLoss(value),
      })),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width > 0) {
            const from = Math.floor(plot.posToVal(left, "x"));
            const to = Math.ceil(plot.posToVal(left + width, "x"));
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            latest.current.onRange([from, Math.max(to, from + 1)]);
          }
        },
      ],
      draw: [
        (plot) =>
          drawMarks(plot, latest.current.marks, {
            plain: colour("--ink-soft"),
            best: colour("--good"),
          }),
      ],
    },
  };
}

function axisValues(_: uPlot, values: (number | null)[]): string[] {
  return values.map((value) => (value === null ? "" : formatLoss(value)));
}

/** Triangles for checkpoints, a larger one for the best, dots for samples: all on the axis. */
function drawMarks(
  plot: uPlot,
  marks: CurveMark[],
  colours: { plain: string; best: string },
): void {
  const { ctx, bbox } = plot;
  const px = uPlot.pxRatio;
  const { min, max } = plot.scales.x ?? {};
  const bottom = bbox.top + bbox.height;
  ctx.save();
  for (const { step, kind } of marks) {
    if (min === undefined || max === undefined || step < min || step > max) {
      continue;
    }
    const x = plot.valToPos(step, "x", true);
    ctx.fillStyle = kind === "best" ? colours.best : colours.plain;
    ctx.beginPath();
    if (kind === "sample") {
      ctx.arc(x, bottom - 13 * px, 2.4 * px, 0, 2 * Math.PI);
    } else {
      const half = (kind === "best" ? 6 : 4) * px;
      ctx.moveTo(x - half, bottom);
      ctx.lineTo(x + half, bottom);
      ctx.lineTo(x, bottom - 1.7 * half);
    }
    ctx.closePath();
    ctx.fill();
  }
  ctx.restore();
}
