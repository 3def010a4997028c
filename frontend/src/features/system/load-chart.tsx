import type { LoadSample } from "@/api/types";
import { formatGib } from "@/lib/format";
import { text } from "@/messages";
import classes from "./load-chart.module.css";
import { type ChartPoint, linesOf, spanOf } from "./load-lines";

interface LoadChartProps {
  name: string;
  device: string;
  totalBytes: number;
  samples: LoadSample[];
  intervalSeconds: number;
}

const WIDTH = 300;
const HEIGHT = 56;

/** The last minutes: memory as an area, how busy as a line; a gap where nobody looked. */
export function LoadChart({ name, device, totalBytes, samples, intervalSeconds }: LoadChartProps) {
  const minutes = spanOf(samples);
  const memory = linesOf(samples, intervalSeconds, minutes, (sample) => {
    const used = sample.devices.find(({ id }) => id === device)?.memory_used_bytes;
    return used === null || used === undefined ? null : used / totalBytes;
  });
  const busy = linesOf(samples, intervalSeconds, minutes, (sample) => {
    const percent = sample.devices.find(({ id }) => id === device)?.utilization_percent;
    return percent === null || percent === undefined ? null : percent / 100;
  });
  const shares = memory.flat().map(({ share }) => share);
  const label = text.load.history(
    name,
    formatGib((shares.at(-1) ?? 0) * totalBytes),
    formatGib(Math.max(0, ...shares) * totalBytes),
    minutes,
  );
  return (
    <div>
      <svg
        className={classes.chart}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        {memory.map((line) => (
          <g key={line[0]?.at} className={classes.memory}>
            <path d={area(line)} />
            <path d={path(line)} />
          </g>
        ))}
        {busy.map((line) => (
          <path key={line[0]?.at} className={classes.busy} d={path(line)} />
        ))}
      </svg>
      <p className={classes.legend} aria-hidden="true">
        <span className={classes.memoryKey}>{text.load.memoryLine}</span>
        {busy.length > 0 && <span className={classes.busyKey}>{text.load.busyLine}</span>}
        <span className={classes.span}>{text.load.span(minutes)}</span>
      </p>
    </div>
  );
}

function path(line: ChartPoint[]): string {
  return line
    .map(({ place, share }, index) => {
      const x = (place * WIDTH).toFixed(1);
      const y = (HEIGHT - 1 - Math.min(share, 1) * (HEIGHT - 2)).toFixed(1);
      return `${index === 0 ? "M" : "L"}${x} ${y}`;
    })
    .join("");
}

function area(line: ChartPoint[]): string {
  const first = ((line[0]?.place ?? 0) * WIDTH).toFixed(1);
  const last = ((line.at(-1)?.place ?? 0) * WIDTH).toFixed(1);
  return `${path(line)}L${last} ${HEIGHT}L${first} ${HEIGHT}Z`;
}
