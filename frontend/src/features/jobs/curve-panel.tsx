import { Skeleton, Switch } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, useMemo, useRef, useState } from "react";
import { checkpointsQuery, measurementsQuery, metricsQuery, samplesQuery } from "@/api/queries";
import { Empty } from "@/components/ui/empty";
import { lazyPart } from "@/components/ui/lazy-part";
import { Panel } from "@/components/ui/panel";
import { QueryFailure, QueryView } from "@/components/ui/query-view";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import type { StepRange } from "./curve-chart";
import { useCloser } from "./curve-closer";
import { CurveControls, StepsInSight } from "./curve-controls";
import {
  type CurveDrawing,
  type CurveSource,
  curveDrawing,
  curveMarks,
  lastOf,
} from "./curve-drawing";
import { type CurveKind, KINDS_AT_FIRST, type KindKey, offeredKinds } from "./curve-kinds";
import { OverlayPicker, useBeside, useOtherSources } from "./curve-overlay";
import classes from "./curve-panel.module.css";
import { CurveTable } from "./curve-table";

const CurveChart = lazyPart("curve-chart", () => import("./curve-chart"));

const SMOOTHING_AT_FIRST = 0.95;

interface CurvePanelProps {
  jobId: number;
  name: string;
  /** Whether more may come. */
  expecting: boolean;
}

export function CurvePanel({ jobId, name, expecting }: CurvePanelProps) {
  const metrics = useQuery(metricsQuery(jobId));
  // A step 0 that was measured is there before the first step.
  const measured = useQuery(measurementsQuery(jobId));
  const measurements = measured.data ?? NONE;
  const [beside, setBeside] = useBeside(jobId);
  const [logScale, setLogScale] = useState(false);
  return (
    <Panel
      title={text.curve.title}
      aside={
        <>
          <OverlayPicker jobId={jobId} chosen={beside} onChosen={setBeside} />
          <Switch
            label={text.curve.log}
            checked={logScale}
            onChange={(event) => setLogScale(event.currentTarget.checked)}
          />
        </>
      }
    >
      <QueryFailure query={measured} title={text.curve.noMeasurements} />
      <QueryView query={metrics} loading={380}>
        {(points) =>
          points.length === 0 && measurements.length === 0 && beside.length === 0 ? (
            <Empty icon="clock" title={text.curve.emptyTitle}>
              {expecting ? text.curve.emptyWaiting : text.curve.emptyNever}
            </Empty>
          ) : (
            <Curve
              jobId={jobId}
              own={{ jobId, name, metrics: points, measurements }}
              beside={beside}
              logScale={logScale}
            />
          )
        }
      </QueryView>
    </Panel>
  );
}

const NONE: never[] = [];

interface CurveProps {
  jobId: number;
  own: CurveSource;
  beside: number[];
  logScale: boolean;
}

function Curve({ jobId, own, beside, logScale }: CurveProps) {
  const others = useOtherSources(beside);
  const checkpoints = useQuery(checkpointsQuery(jobId)).data ?? NONE;
  const samples = useQuery(samplesQuery(jobId)).data ?? NONE;
  const [chosen, setChosen] = useState<KindKey[]>(KINDS_AT_FIRST);
  const [decay, setDecay] = useState(SMOOTHING_AT_FIRST);
  const [range, setRange] = useState<StepRange>(null);

  const sources = useCloser([own, ...others], range);
  const { offered, missing } = offeredKinds(
    sources.flatMap(({ metrics }) => metrics),
    sources.flatMap(({ measurements }) => measurements),
  );
  const shown = offered.filter(({ key }) => chosen.includes(key));
  const drawing = useDrawing(sources, shown, decay);
  const marks = useMemo(() => curveMarks(checkpoints, samples), [checkpoints, samples]);

  return (
    <>
      <CurveControls
        offered={offered}
        missing={missing}
        chosen={chosen}
        onChosen={setChosen}
        decay={decay}
        onDecay={setDecay}
      />
      {shown.length === 0 ? (
        <Empty icon="info" title={text.curve.noneSelected} />
      ) : (
        <Suspense fallback={<Skeleton height={340} radius="md" />}>
          <CurveChart
            drawing={drawing}
            marks={marks}
            logScale={logScale}
            range={range}
            onRange={setRange}
            label={summary(own.name, drawing)}
          />
        </Suspense>
      )}
      <StepsInSight steps={drawing.steps} range={range} onRange={setRange} />
      <p className={classes.help}>
        <span aria-hidden="true">▲ {text.curve.mark.checkpoint}</span>
        <span aria-hidden="true" className={classes.best}>
          ▲ {text.curve.mark.best}
        </span>
        <span aria-hidden="true">● {text.curve.mark.sample}</span>
        <span>{text.curve.help}</span>
      </p>
      <CurveTable drawing={drawing} marks={marks} />
    </>
  );
}

/** Worked out anew only when a number, a kind or the smoothing is another. */
function useDrawing(sources: CurveSource[], shown: CurveKind[], decay: number): CurveDrawing {
  const parts = [
    ...sources.flatMap((source) => [
      source.name,
      source.metrics,
      source.closer,
      source.measurements,
    ]),
    ...shown,
    decay,
  ];
  // Not useMemo: the number of sources changes, and with it the number of what it depends on.
  const known = useRef<{ parts: unknown[]; drawing: CurveDrawing } | null>(null);
  const before = known.current;
  if (
    before === null ||
    before.parts.length !== parts.length ||
    before.parts.some((part, place) => part !== parts[place])
  ) {
    known.current = { parts, drawing: curveDrawing(sources, shown, decay) };
  }
  return (known.current as { drawing: CurveDrawing }).drawing;
}

/** The curve in words, for those who do not see it. */
function summary(name: string, { steps, lines }: CurveDrawing): string {
  const parts = lines.flatMap((line) => {
    const last = lastOf(line, steps);
    return last === null
      ? []
      : [text.curve.summary(line.label, formatLoss(last.value), formatCount(last.step))];
  });
  return `${text.curve.chartOf(name)}: ${parts.join(", ")}`;
}
