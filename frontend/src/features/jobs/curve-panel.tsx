import { Chip, Group, Skeleton, Slider, Switch } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { metricsQuery } from "@/api/queries";
import type { Metric } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { formatCount, formatLoss } from "@/lib/format";
import { text } from "@/messages";
import classes from "./curve-panel.module.css";
import { curveColumns, type SeriesKey, series } from "./curve-series";

const CurveChart = lazy(() => import("./curve-chart"));

const SMOOTHING_AT_FIRST = 0.95;

interface CurvePanelProps {
  jobId: number;
  name: string;
  /** Whether more may come. */
  expecting: boolean;
}

export function CurvePanel({ jobId, name, expecting }: CurvePanelProps) {
  const metrics = useQuery(metricsQuery(jobId));
  const [logScale, setLogScale] = useState(false);
  return (
    <Panel
      title={text.curve.title}
      aside={
        <Switch
          label={text.curve.log}
          checked={logScale}
          onChange={(event) => setLogScale(event.currentTarget.checked)}
        />
      }
    >
      <QueryView query={metrics} loading={380}>
        {(points) =>
          points.length === 0 ? (
            <Empty icon="clock" title={text.curve.emptyTitle}>
              {expecting ? text.curve.emptyWaiting : text.curve.emptyNever}
            </Empty>
          ) : (
            <Curve metrics={points} name={name} logScale={logScale} />
          )
        }
      </QueryView>
    </Panel>
  );
}

interface CurveProps {
  metrics: Metric[];
  name: string;
  logScale: boolean;
}

function Curve({ metrics, name, logScale }: CurveProps) {
  const preserved = metrics.some((metric) => metric.preservation_loss !== null);
  const offered = series.filter(({ key }) => key !== "preservation_loss" || preserved);
  const [chosen, setChosen] = useState<string[]>(["loss", "smoothed", "preservation_loss"]);
  const [decay, setDecay] = useState(SMOOTHING_AT_FIRST);
  const columns = useMemo(() => curveColumns(metrics, decay), [metrics, decay]);
  const shown = useMemo(
    () => new Set(offered.map(({ key }) => key).filter((key) => chosen.includes(key))),
    [offered, chosen],
  );

  return (
    <>
      <div className={classes.controls}>
        <Chip.Group multiple value={chosen} onChange={setChosen}>
          <Group gap={6} role="group" aria-label={text.curve.series}>
            {offered.map(({ key, label }) => (
              <Chip key={key} value={key} size="xs" variant="outline">
                {label}
              </Chip>
            ))}
          </Group>
        </Chip.Group>
        <div className={classes.smoothing}>
          <span aria-hidden="true">{text.curve.smoothing}</span>
          <Slider
            className={classes.slider}
            size="sm"
            min={0}
            max={0.995}
            step={0.005}
            value={decay}
            onChange={setDecay}
            label={null}
            thumbLabel={text.curve.smoothing}
          />
        </div>
      </div>
      {shown.size === 0 ? (
        <Empty icon="info" title={text.curve.noneSelected} />
      ) : (
        <Suspense fallback={<Skeleton height={320} radius="md" />}>
          <CurveChart
            columns={columns}
            shown={shown}
            logScale={logScale}
            label={summary(name, metrics, columns, shown)}
          />
        </Suspense>
      )}
      <p className={classes.help}>{text.curve.help}</p>
    </>
  );
}

/** The curve in words, for those who do not see it. */
function summary(
  name: string,
  metrics: Metric[],
  columns: (number | null)[][],
  shown: ReadonlySet<SeriesKey>,
): string {
  const last = metrics.length - 1;
  const at = formatCount(metrics[last]?.step);
  const parts = series.flatMap(({ key, label }, index) =>
    shown.has(key) ? [text.curve.summary(label, formatLoss(columns[index + 1]?.[last]), at)] : [],
  );
  return `${text.curve.chartOf(name)}: ${parts.join(", ")}`;
}
