import { Button } from "@mantine/core";
import { useReducedMotion } from "@mantine/hooks";
import {
  type CSSProperties,
  type KeyboardEvent,
  type PointerEvent,
  useEffect,
  useRef,
  useState,
} from "react";
import type { Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { RetryingPicture } from "@/components/ui/retrying-picture";
import { text } from "@/messages";
import classes from "./lightbox-stage.module.css";
import { PictureDifference } from "./picture-difference";
import type { Zoom } from "./use-zoom";

export const MODES = ["single", "side", "slider", "blink", "difference"] as const;
export type Mode = (typeof MODES)[number];

/** Slower than three times a second, which no picture may flash faster than. */
const BLINK_MS = 700;
const PIXELATED_TO_PX = 256;

interface StageProps {
  mode: Mode;
  sample: Sample;
  other: Sample | undefined;
  title: string;
  otherTitle: string;
  zoom: Zoom;
}

/** The pictures in one of five ways to look at them. */
export function Stage({ mode, sample, other, title, otherTitle, zoom }: StageProps) {
  const two = { sample, other: other ?? sample, title, otherTitle, zoom };
  return (
    <div
      className={classes.stage}
      data-mode={mode}
      data-zoomed={zoom.scale > 1}
      {...zoom.handlers}
      onPointerLeave={zoom.handlers.onPointerUp}
    >
      {(mode === "single" || other === undefined) && (
        <Framed sample={sample} title={title} zoom={zoom} />
      )}
      {mode === "side" && other !== undefined && (
        <>
          <Framed sample={other} title={otherTitle} zoom={zoom} isLabelled />
          <Framed sample={sample} title={title} zoom={zoom} isLabelled />
        </>
      )}
      {mode === "slider" && other !== undefined && <SliderView {...two} />}
      {mode === "blink" && other !== undefined && <BlinkView {...two} />}
      {mode === "difference" && other !== undefined && (
        <PictureDifference one={sample} other={other} zoom={zoom} frame={frameStyle(sample)} />
      )}
    </div>
  );
}

interface TwoProps {
  sample: Sample;
  other: Sample;
  title: string;
  otherTitle: string;
  zoom: Zoom;
}

export function frameStyle({ width, height }: Sample): CSSProperties {
  return { "--ratio": width / height };
}

interface FramedProps {
  sample: Sample;
  title: string;
  zoom: Zoom;
  isLabelled?: boolean;
}

function Framed({ sample, title, zoom, isLabelled = false }: FramedProps) {
  return (
    <figure className={classes.frame} style={frameStyle(sample)}>
      <Picture sample={sample} title={title} zoom={zoom} />
      {isLabelled && <figcaption className={classes.label}>{title}</figcaption>}
    </figure>
  );
}

function Picture({ sample, title, zoom }: { sample: Sample; title: string; zoom: Zoom }) {
  return (
    <RetryingPicture
      key={sample.id}
      className={classes.picture}
      src={sample.url}
      width={sample.width}
      height={sample.height}
      alt={text.samples.alt(sample.prompt, title)}
      draggable={false}
      style={{
        transform: zoom.transform,
        imageRendering: sample.width <= PIXELATED_TO_PX ? "pixelated" : undefined,
      }}
      instead={(isLost) => (
        <span className={classes.missing}>
          <Icon name="picture" size={30} />
          {isLost && text.samples.damaged}
        </span>
      )}
    />
  );
}

/** The other picture left of a divider that is dragged or moved by the arrow keys. */
function SliderView({ sample, other, title, otherTitle, zoom }: TwoProps) {
  const [percent, setPercent] = useState(50);
  const frame = useRef<HTMLElement>(null);
  const handle = useRef<HTMLDivElement>(null);
  useEffect(() => handle.current?.focus({ preventScroll: true }), []);

  const follow = (event: PointerEvent) => {
    const box = frame.current?.getBoundingClientRect();
    if (box !== undefined && box.width > 0) {
      setPercent(clamped(Math.round(((event.clientX - box.left) / box.width) * 100)));
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.shiftKey ? 10 : 1;
    const to: Record<string, number> = {
      ArrowLeft: percent - step,
      ArrowDown: percent - step,
      ArrowRight: percent + step,
      ArrowUp: percent + step,
      PageDown: percent - 10,
      PageUp: percent + 10,
      Home: 0,
      End: 100,
    };
    const next = to[event.key];
    if (next !== undefined) {
      event.preventDefault();
      setPercent(clamped(next));
    }
  };
  return (
    <figure ref={frame} className={classes.frame} style={frameStyle(sample)}>
      <Picture sample={sample} title={title} zoom={zoom} />
      <div className={classes.layer} style={{ clipPath: `inset(0 ${100 - percent}% 0 0)` }}>
        <Picture sample={other} title={otherTitle} zoom={zoom} />
      </div>
      <div
        ref={handle}
        className={classes.divider}
        style={{ left: `${percent}%` }}
        role="slider"
        tabIndex={0}
        aria-label={text.samples.divider}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={text.samples.dividerAt(percent)}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          event.stopPropagation();
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          if (event.buttons > 0) {
            event.stopPropagation();
            follow(event);
          }
        }}
        onDoubleClick={(event) => event.stopPropagation()}
      />
      <figcaption className={classes.label}>{otherTitle}</figcaption>
      <span className={classes.label} data-side="right">
        {title}
      </span>
    </figure>
  );
}

function clamped(percent: number): number {
  return Math.min(100, Math.max(0, percent));
}

/** One in place of the other, by itself or, where motion is unwelcome, at a press. */
function BlinkView({ sample, other, title, otherTitle, zoom }: TwoProps) {
  const isStill = useReducedMotion();
  const [isOther, setOther] = useState(false);
  useEffect(() => {
    if (isStill) {
      return;
    }
    const timer = setInterval(() => setOther((before) => !before), BLINK_MS);
    return () => clearInterval(timer);
  }, [isStill]);
  return (
    <figure className={classes.frame} style={frameStyle(sample)}>
      <Picture sample={sample} title={title} zoom={zoom} />
      <div className={classes.layer} style={{ visibility: isOther ? "visible" : "hidden" }}>
        <Picture sample={other} title={otherTitle} zoom={zoom} />
      </div>
      <figcaption className={classes.label}>{isOther ? otherTitle : title}</figcaption>
      {isStill && (
        <Button
          className={classes.blinkNow}
          size="xs"
          variant="default"
          aria-pressed={isOther}
          onClick={() => setOther((before) => !before)}
        >
          {text.samples.showOther}
        </Button>
      )}
    </figure>
  );
}
