import { Button, Chip, Group, RangeSlider, Slider } from "@mantine/core";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import type { StepRange } from "./curve-chart";
import type { CurveKind, KindKey } from "./curve-kinds";
import classes from "./curve-panel.module.css";

interface CurveControlsProps {
  offered: CurveKind[];
  missing: string[];
  chosen: KindKey[];
  onChosen: (keys: KindKey[]) => void;
  decay: number;
  onDecay: (decay: number) => void;
}

/** Which kinds are drawn, how smooth, and a word on those that are not there. */
export function CurveControls(props: CurveControlsProps) {
  const { offered, missing, chosen, onChosen, decay, onDecay } = props;
  return (
    <>
      <div className={classes.controls}>
        <Chip.Group multiple value={chosen} onChange={(keys) => onChosen(keys as KindKey[])}>
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
            onChange={onDecay}
            label={null}
            thumbLabel={text.curve.smoothing}
          />
        </div>
      </div>
      {missing.length > 0 && (
        <details className={classes.missing}>
          <summary>{text.curve.missing}</summary>
          <ul>
            {missing.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

interface StepsInSightProps {
  steps: number[];
  range: StepRange;
  onRange: (range: StepRange) => void;
}

/** The zoom for the keyboard, and the way back from it. */
export function StepsInSight({ steps, range, onRange }: StepsInSightProps) {
  const first = steps[0] ?? 0;
  const last = steps[steps.length - 1] ?? 0;
  if (last - first < 2) {
    return null;
  }
  const [from, to] = range ?? [first, last];
  return (
    <div className={classes.sight}>
      <span className="num">{text.curve.inSight(formatCount(from), formatCount(to))}</span>
      <RangeSlider
        className={classes.range}
        size="sm"
        min={first}
        max={last}
        minRange={1}
        step={1}
        value={[Math.max(first, from), Math.min(last, to)]}
        onChange={([start, end]) => onRange(start <= first && end >= last ? null : [start, end])}
        label={null}
        thumbFromLabel={text.curve.firstStep}
        thumbToLabel={text.curve.lastStep}
      />
      <Button
        variant="default"
        size="compact-sm"
        disabled={range === null}
        onClick={() => onRange(null)}
      >
        {text.curve.resetZoom}
      </Button>
    </div>
  );
}
