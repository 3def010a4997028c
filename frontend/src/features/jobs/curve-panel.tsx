import { NativeSelect, Skeleton, Switch } from "@mantine/core";
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
  /** Numbers of the job's runs, oldest first. */
  runs: number[];
  /** Whether more may come. */
  expecting: boolean;
}

export function CurvePanel({ jobId, name, runs, expecting }: CurvePanelProps) {
  const [run, setRun] = useState<number>();
  const metrics = useQuery(metricsQuery(jobId, run));
  // A step 0 that was measured is there before the first step.
  const measured = useQuery(measurementsQuery(jobId, run));
  const measurements = measured.data ?? NONE;
  const [beside, setBeside] = useBeside(jobId);
  const [logScale, setLogScale] = useState(false);
  const [chosen, setChosen] = useState<KindKey[]>(KINDS_AT_FIRST);
  const [decay, setDecay] = useState(SMOOTHING_AT_FIRST);
  return (
    <Panel
      title={text.curve.title}
      aside={
        <>
          {runs.length > 1 && (
            <NativeSelect
              aria-label={text.curve.run}
              size="xs"
              value={String(run ?? "")}
              onChange={({ currentTarget: { value } }) =>
                setRun(value === "" ? undefined : Number(value))
              }
              data={[
                { value: "", label: text.curve.allRuns },
                ...runs.map((number) => ({
                  value: String(number),
                  label: text.runs.number(number),
                })),
              ]}
            />
          )}
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
              {emptyText(run, expecting)}
            </Empty>
          ) : (
            <Curve
              // Another run has other steps: a part that was looked at is none of it.
              key={run ?? "all"}
              jobId={jobId}
              own={{
                jobId,
                run,
                name: run === undefined ? name : text.curve.ofRun(name, run),
                metrics: points,
                measurements,
              }}
              beside={beside}
              logScale={logScale}
              chosen={chosen}
              onChosen={setChosen}
              decay={decay}
              onDecay={setDecay}
            />
          )
        }
      </QueryView>
    </Panel>
  );
}

const NONE: never[] = [];

function emptyText(run: number | undefined, expecting: boolean): string {
  if (run !== undefined) {
    return text.curve.emptyRun;
  }
  return expecting ? text.curve.emptyWaiting : text.curve.emptyNever;
}

interface CurveProps {
  jobId: number;
  own: CurveSource;
  beside: number[];
  logScale: boolean;
  chosen: KindKey[];
  onChosen: (keys: KindKey[]) => void;
  decay: number;
  onDecay: (decay: number) => void;
}

function Curve(props: CurveProps) {
  const { jobId, own, beside, logScale, chosen, onChosen, decay, onDecay } = props;
  const others = useOtherSources(beside);
  const checkpoints = useQuery(checkpointsQuery(jobId)).data ?? NONE;
  const samples = useQuery(samplesQuery(jobId)).data ?? NONE;
  const [range, setRange] = useState<StepRange>(null);

  const sources = useCloser([own, ...others], range);
  const { offered, missing } = offeredKinds(
    sources.flatMap(({ metrics }) => metrics),
    sources.flatMap(({ measurements }) => measurements),
  );
  const shown = offered.filter(({ key }) => chosen.includes(key));
  const drawing = useDrawing(sources, shown, decay);
  // Which run saved a checkpoint or drew a picture is not told: they lie on the curve of all.
  const isMarked = own.run === undefined;
  const marks = useMemo(
    () => (isMarked ? curveMarks(checkpoints, samples) : NONE),
    [isMarked, checkpoints, samples],
  );

  return (
    <>
      <CurveControls
        offered={offered}
        missing={missing}
        chosen={chosen}
        onChosen={onChosen}
        decay={decay}
        onDecay={onDecay}
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
        {isMarked && (
          <>
            <span aria-hidden="true">▲ {text.curve.mark.checkpoint}</span>
            <span aria-hidden="true" className={classes.best}>
              ▲ {text.curve.mark.best}
            </span>
            <span aria-hidden="true">● {text.curve.mark.sample}</span>
          </>
        )}
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
