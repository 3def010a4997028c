import { ActionIcon, Select } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import classes from "./filmstrip.module.css";
import type { Gallery, Lane } from "./gallery-model";
import { columnTitle } from "./titles";

const SPEEDS = [0.5, 1, 2, 4];
/** Each picture this long at speed 1. */
const FRAME_MS = 600;

interface FilmstripProps {
  lane: Lane;
  /** Of its steps those that were drawn are shown, from the first to the last. */
  gallery: Gallery;
  step: number;
  playing: boolean;
  onPlaying: (playing: boolean) => void;
  onStep: (step: number) => void;
}

/** One prompt through all its steps: to look over, to scrub, to play. */
export function Filmstrip({ lane, gallery, step, playing, onPlaying, onStep }: FilmstripProps) {
  const drawn = useMemo(
    () => gallery.steps.filter((one) => lane.byStep.has(one)).sort((one, other) => one - other),
    [lane, gallery.steps],
  );
  const [speed, setSpeed] = useState(1);
  const strip = useRef<HTMLDivElement>(null);
  const at = Math.max(0, drawn.indexOf(step));

  const latest = useRef({ drawn, at, onStep });
  latest.current = { drawn, at, onStep };
  useEffect(() => {
    if (!playing) {
      return;
    }
    const timer = setInterval(() => {
      const now = latest.current;
      const next = now.drawn[(now.at + 1) % now.drawn.length];
      if (next !== undefined) {
        now.onStep(next);
      }
    }, FRAME_MS / speed);
    return () => clearInterval(timer);
  }, [playing, speed]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: what is shown comes into sight
  useEffect(() => {
    const current = strip.current?.querySelector<HTMLElement>("[aria-current]");
    const box = strip.current;
    if (current && box) {
      const middle = current.offsetLeft + current.offsetWidth / 2 - box.clientWidth / 2;
      box.scrollTo({ left: middle });
    }
  }, [at, drawn.length]);

  if (drawn.length < 2) {
    return null;
  }
  const scrub = (index: number) => {
    const next = drawn[index];
    if (next !== undefined) {
      onPlaying(false);
      onStep(next);
    }
  };
  return (
    <section
      className={classes.filmstrip}
      aria-label={gallery.columns === undefined ? text.samples.strip : text.samples.drawingStrip}
    >
      <ActionIcon
        variant="default"
        size={36}
        aria-label={playing ? text.samples.pause : text.samples.playing}
        onClick={() => onPlaying(!playing)}
      >
        <Icon name={playing ? "pause" : "play"} />
      </ActionIcon>
      <div className={classes.middle}>
        <div ref={strip} className={classes.strip}>
          {drawn.map((one, index) => (
            <button
              key={one}
              type="button"
              className={classes.still}
              tabIndex={-1}
              aria-label={columnTitle(gallery, one)}
              aria-current={index === at ? "true" : undefined}
              onClick={() => scrub(index)}
            >
              <img
                src={lane.byStep.get(one)?.thumbnail_url}
                alt=""
                loading="lazy"
                decoding="async"
              />
            </button>
          ))}
        </div>
        <input
          type="range"
          className={classes.scrub}
          min={0}
          max={drawn.length - 1}
          value={at}
          aria-label={text.samples.scrub}
          aria-valuetext={text.samples.atStep(columnTitle(gallery, step), at + 1, drawn.length)}
          onChange={(event) => scrub(Number(event.currentTarget.value))}
        />
      </div>
      <Select
        className={classes.speed}
        size="xs"
        w={72}
        aria-label={text.samples.speed}
        data={SPEEDS.map((times) => ({
          value: String(times),
          label: text.samples.speedOf(times),
        }))}
        value={String(speed)}
        allowDeselect={false}
        onChange={(value) => setSpeed(Number(value ?? 1))}
        comboboxProps={{ withinPortal: false }}
      />
    </section>
  );
}
