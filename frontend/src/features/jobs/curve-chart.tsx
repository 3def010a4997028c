/** The drawn curve. Loaded when a job page asks for it: uPlot is no part of the first load. */

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import classes from "./curve-chart.module.css";
import { otherScales, type SeriesKey, series } from "./curve-series";

interface CurveChartProps {
  columns: (number | null)[][];
  shown: ReadonlySet<SeriesKey>;
  logScale: boolean;
  label: string;
}

const HEIGHT_PX = 320;

/** Distances between marked steps: 1, 2, 5, 10 … and never a part of a step. */
const STEPS_BETWEEN_MARKS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((unit) => [
  unit,
  2 * unit,
  5 * unit,
]);

export default function CurveChart({ columns, shown, logScale, label }: CurveChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(columns);
  const scheme = useComputedColorScheme("light");
  const visible = series.map(({ key }) => shown.has(key)).join();

  // Another scale, scheme or choice of series makes a new plot; new points only new data.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the scheme changes the CSS variables
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    const drawn = new uPlot(
      options(element, visible.split(","), logScale),
      latest.current as uPlot.AlignedData,
      element,
    );
    plot.current = drawn;
    const observer = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [visible, logScale, scheme]);

  useEffect(() => {
    latest.current = columns;
    const drawn = plot.current;
    if (drawn !== null) {
      // Somebody who has zoomed in keeps the view; everybody else sees the curve grow.
      const zoomed = isZoomed(drawn);
      drawn.setData(columns as uPlot.AlignedData, !zoomed);
      if (zoomed) {
        drawn.redraw();
      }
    }
  }, [columns]);

  return <div ref={frame} className={classes.chart} role="img" aria-label={label} />;
}

function isZoomed(plot: uPlot): boolean {
  const steps = plot.data[0];
  const first = steps[0] ?? 0;
  const last = steps[steps.length - 1] ?? 0;
  const { min, max } = plot.scales.x ?? {};
  return (min ?? first) > first || (max ?? last) < last;
}

function options(element: HTMLElement, visible: string[], logScale: boolean): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const isShown = (index: number) => visible[index] === "true";
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
    cursor: { points: { size: 7 }, drag: { x: true, y: false } },
    legend: {
      live: true,
      markers: { width: 0, fill: (_, index) => colour(series[index - 1]?.colour ?? "") },
    },
    scales: {
      x: { time: false },
      loss: { distr: logScale ? 3 : 1 },
      ...Object.fromEntries(otherScales.map((scale) => [scale, { distr: logScale ? 3 : 1 }])),
    },
    axes: [
      {
        ...axis,
        incrs: STEPS_BETWEEN_MARKS,
        values: (_, steps) => steps.map((step) => formatCount(step)),
      },
      {
        ...axis,
        scale: "loss",
        size: 62,
        values: axisValues,
        show: series.some((s, i) => s.scale === "loss" && isShown(i)),
      },
      ...otherScales.map((scale) => ({
        ...axis,
        scale,
        side: 1 as const,
        size: 66,
        grid: { show: false },
        values: axisValues,
        show: series.some((entry, index) => entry.scale === scale && isShown(index)),
      })),
    ],
    series: [
      { label: text.curve.step, value: (_, step) => (step === null ? "–" : formatCount(step)) },
      ...series.map((entry, index) => ({
        label: entry.label,
        scale: entry.scale,
        show: isShown(index),
        stroke: colour(entry.colour),
        width: entry.key === "smoothed" ? 2.2 : 1.3,
        points: { show: false },
        spanGaps: true,
        value: (_: uPlot, value: number | null) => formatLoss(value),
      })),
    ],
  };
}

function axisValues(_: uPlot, values: (number | null)[]): string[] {
  return values.map((value) => (value === null ? "" : formatLoss(value)));
}
