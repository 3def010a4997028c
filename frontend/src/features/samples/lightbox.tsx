import { ActionIcon, Button, Modal, SegmentedControl } from "@mantine/core";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import type { Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { NoteField } from "@/components/ui/note-field";
import { text } from "@/messages";
import { Filmstrip } from "./filmstrip";
import type { Gallery } from "./gallery-model";
import type { Place } from "./grid-keys";
import classes from "./lightbox.module.css";
import { baseOf, laneAt, movesFrom, neighbourOf, sampleAt } from "./lightbox-places";
import { MODES, type Mode, Stage } from "./lightbox-stage";
import { RecipePanel } from "./recipe-panel";
import { columnTitle, laneTitle } from "./titles";
import { useStillThere } from "./use-still-there";
import { useZoom } from "./use-zoom";

interface LightboxProps {
  gallery: Gallery;
  place: Place;
  /** What it is compared with at first; else the base model's picture. */
  other?: Place | null;
  /** Whether the prompt plays through its steps at once. */
  playing?: boolean;
  onMove: (place: Place) => void;
  onClose: () => void;
  /** What has the focus afterwards where the picture that was opened is no longer there. */
  focusAfter?: () => HTMLElement | null;
  onStar?: ((sampleId: number) => void) | undefined;
  onNote?: ((sample: Sample, note: string) => void) | undefined;
  onRemove?: ((sample: Sample) => void) | undefined;
  /** What else can be done with the picture. */
  actions?: (sample: Sample) => ReactNode;
}

/** One picture as large as the window, or two against each other; arrows walk the grid. */
export function Lightbox(props: LightboxProps) {
  const { gallery, onMove } = props;
  const place = useStillThere(props);
  const [mode, setMode] = useState<Mode>(props.other ? "side" : "single");
  const [other, setOther] = useState<Place | null>(props.other ?? null);
  const [flipped, setFlipped] = useState(false);
  const [playing, setPlaying] = useState(props.playing ?? false);
  const zoom = useZoom();
  useFocusBack(props.focusAfter);

  const lane = laneAt(gallery, place);
  const sample = sampleAt(gallery, place);
  const isOtherThere = other !== null && sampleAt(gallery, other) !== undefined;
  const besidePlace = isOtherThere ? other : baseOf(gallery, place);
  const beside = sampleAt(gallery, besidePlace);
  const second = beside !== undefined && beside.id !== sample?.id ? beside : undefined;
  // What buttons and keys act on. Ways to look that show both are about what was walked to.
  const isFlipped = flipped && mode === "single" && second !== undefined;
  const shown = isFlipped ? second : sample;
  const shownPlace = isFlipped && besidePlace !== undefined ? besidePlace : place;
  const moves = useMemo(() => movesFrom(gallery, place), [gallery, place]);
  usePreloaded(Object.values(moves).map((target) => sampleAt(gallery, target)?.url));

  /** Its neighbour takes the place of a picture that was walked to; it itself that of the other. */
  const remove = (gone: Sample) => {
    setFlipped(false);
    const next = neighbourOf(gallery, moves);
    if (gone.id === sample?.id && next !== undefined) {
      onMove(next);
    } else if (gone.id === sample?.id) {
      props.onClose();
    }
    props.onRemove?.(gone);
  };

  const latest = useRef({ moves, onMove, shown, shownPlace, remove, props, zoom });
  latest.current = { moves, onMove, shown, shownPlace, remove, props, zoom };
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isForAControl(event)) {
        return;
      }
      const now = latest.current;
      const direction = directions[event.key];
      const key = event.key.toLowerCase();
      const chosen = MODES[Number(event.key) - 1];
      if (direction !== undefined && event.shiftKey) {
        const [x, y] = PANS[direction];
        now.zoom.pan(x, y);
      } else if (direction !== undefined) {
        const target = now.moves[direction];
        setPlaying(false);
        if (target !== undefined) {
          now.onMove(target);
        }
      } else if (chosen !== undefined) {
        setMode(chosen);
      } else if (key === "b") {
        setFlipped(true);
      } else if (key === "c") {
        setOther(now.shownPlace);
      } else if (key === "p") {
        setPlaying((before) => !before);
      } else if (key === "s" && now.shown !== undefined) {
        now.props.onStar?.(now.shown.id);
      } else if (key === "delete" && now.shown !== undefined && now.props.onRemove) {
        now.remove(now.shown);
      } else if (key === "+" || key === "=") {
        now.zoom.by(1.25);
      } else if (key === "-") {
        now.zoom.by(0.8);
      } else if (key === "0") {
        now.zoom.reset();
      } else {
        return;
      }
      event.preventDefault();
    };
    const onKeyUp = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() === "b") {
        setFlipped(false);
      }
    };
    window.addEventListener("keydown", onKeyDown);
    window.addEventListener("keyup", onKeyUp);
    return () => {
      window.removeEventListener("keydown", onKeyDown);
      window.removeEventListener("keyup", onKeyUp);
    };
  }, []);

  if (lane === undefined || sample === undefined || shown === undefined) {
    return null;
  }
  const severalJobs = new Set(gallery.groups.flatMap((g) => g.lanes.map((l) => l.jobId))).size > 1;
  const titleOf = (at: Place) => {
    const on = laneAt(gallery, at);
    return [columnTitle(gallery, at.step), on === undefined ? "" : laneTitle(on, severalJobs)]
      .filter(Boolean)
      .join(", ");
  };
  const { keys, deleteKey } = text.samples;
  const title = titleOf(shownPlace);
  const otherTitle = second === undefined || besidePlace === undefined ? "" : titleOf(besidePlace);
  return (
    <Modal.Root opened onClose={props.onClose} fullScreen padding={0}>
      <Modal.Content className={classes.content} aria-label={text.samples.lightbox}>
        <Modal.Body className={classes.body}>
          <div className={classes.stageArea}>
            <Stage
              key={mode}
              mode={second === undefined ? "single" : mode}
              sample={shown}
              other={second}
              title={title}
              otherTitle={otherTitle}
              zoom={zoom}
            />
            <Arrow
              side="left"
              label={
                gallery.columns === undefined ? text.samples.previousStep : text.samples.previous
              }
              onClick={moves.left && (() => onMove(moves.left as Place))}
            />
            <Arrow
              side="right"
              label={gallery.columns === undefined ? text.samples.nextStep : text.samples.next}
              onClick={moves.right && (() => onMove(moves.right as Place))}
            />
          </div>
          <div className={classes.below}>
            <div className={classes.modes}>
              <SegmentedControl
                aria-label={text.samples.modes}
                size="xs"
                data={MODES.map((value) => ({ value, label: text.samples.mode[value] }))}
                value={mode}
                onChange={(value) => setMode(value as Mode)}
              />
              <div className={classes.zoom}>
                <ZoomButton label={text.samples.zoomOut} onClick={() => zoom.by(0.8)}>
                  −
                </ZoomButton>
                <Button size="compact-xs" variant="subtle" color="gray" onClick={zoom.reset}>
                  {zoom.scale === 1 ? text.samples.zoomReset : `${Math.round(zoom.scale * 100)} %`}
                </Button>
                <ZoomButton label={text.samples.zoomIn} onClick={() => zoom.by(1.25)}>
                  +
                </ZoomButton>
              </div>
            </div>
            <Filmstrip
              lane={lane}
              gallery={gallery}
              step={place.step}
              playing={playing}
              onPlaying={setPlaying}
              onStep={(step) => onMove({ lane: place.lane, step })}
            />
          </div>
          <aside className={classes.aside}>
            <div className={classes.top}>
              <h2 className={classes.step} aria-live={playing ? "off" : "polite"}>
                {title}
              </h2>
              {props.onStar !== undefined && (
                <ActionIcon
                  className={classes.star}
                  variant="subtle"
                  color={shown.is_starred ? "safelight" : "gray"}
                  size={40}
                  aria-label={text.samples.star}
                  aria-pressed={shown.is_starred}
                  onClick={() => props.onStar?.(shown.id)}
                >
                  <Icon name="star" size={20} />
                </ActionIcon>
              )}
              <ActionIcon
                className={classes.close}
                variant="subtle"
                color="gray"
                size={40}
                aria-label={text.samples.close}
                onClick={props.onClose}
                data-autofocus
              >
                <Icon name="close" />
              </ActionIcon>
            </div>
            <div className={classes.compare}>
              {mode !== "single" && (
                <p className={classes.compared}>
                  {second === undefined
                    ? text.samples.noOther
                    : text.samples.comparedWith(otherTitle.toLowerCase())}
                </p>
              )}
              <Button size="xs" variant="default" onClick={() => setOther(shownPlace)}>
                {text.samples.compareWith}
              </Button>
              {other !== null && (
                <Button size="xs" variant="subtle" color="gray" onClick={() => setOther(null)}>
                  {text.samples.compareWithBase}
                </Button>
              )}
              {mode === "single" && second !== undefined && (
                <Button
                  size="xs"
                  variant={flipped ? "filled" : "default"}
                  aria-pressed={flipped}
                  onClick={() => setFlipped((before) => !before)}
                >
                  {isOtherThere ? text.samples.showOther : text.samples.showBase}
                </Button>
              )}
            </div>
            {props.onNote !== undefined && (
              <NoteField
                key={shown.id}
                label={text.samples.note}
                note={shown.note}
                onSave={(note) => props.onNote?.(shown, note)}
                onFocus={() => setPlaying(false)}
              />
            )}
            <RecipePanel
              sample={shown}
              lane={lane}
              severalJobs={severalJobs}
              lora={gallery.loras?.get(shown.id)}
            >
              {props.actions?.(shown)}
              {props.onRemove !== undefined && (
                <Button
                  size="xs"
                  variant="default"
                  leftSection={<Icon name="trash" size={15} />}
                  onClick={() => remove(shown)}
                >
                  {text.samples.remove}
                </Button>
              )}
            </RecipePanel>
            <details className={classes.keys}>
              <summary>{text.samples.keysTitle}</summary>
              <dl>
                {(props.onRemove === undefined ? keys : [...keys, deleteKey]).map(([key, what]) => (
                  <div key={key}>
                    <dt>
                      <kbd>{key}</kbd>
                    </dt>
                    <dd>{what}</dd>
                  </div>
                ))}
              </dl>
            </details>
          </aside>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

const directions: Record<string, Direction> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

type Direction = "left" | "right" | "up" | "down";

const PANS: Record<Direction, [number, number]> = {
  left: [60, 0],
  right: [-60, 0],
  up: [0, 60],
  down: [0, -60],
};

/** A slider, a field or a set of choices has its own use of the key. */
function isForAControl(event: KeyboardEvent): boolean {
  const target = event.target;
  if (target instanceof HTMLTextAreaElement) {
    return true;
  }
  const isField = target instanceof HTMLInputElement;
  const isSlider = target instanceof HTMLElement && target.getAttribute("role") === "slider";
  return (
    (isField || isSlider) && (event.key.startsWith("Arrow") || (isField && target.type === "text"))
  );
}

/** Closing leads back to the picture that was opened. */
function useFocusBack(otherwise: (() => HTMLElement | null) | undefined): void {
  const latest = useRef(otherwise);
  latest.current = otherwise;
  useEffect(() => {
    const opener = document.activeElement;
    return () => {
      // The dialog still holds the focus while it is taken away.
      setTimeout(() => {
        const isThere = opener instanceof HTMLElement && opener.isConnected;
        (isThere ? opener : latest.current?.())?.focus();
      });
    };
  }, []);
}

/** The browser has them when a key asks for them. */
function usePreloaded(urls: (string | undefined)[]): void {
  const wanted = urls.filter(Boolean).join(" ");
  useEffect(() => {
    for (const url of wanted === "" ? [] : wanted.split(" ")) {
      new Image().src = url;
    }
  }, [wanted]);
}

interface ArrowProps {
  side: "left" | "right";
  label: string;
  onClick: (() => void) | undefined;
}

function Arrow({ side, label, onClick }: ArrowProps) {
  return (
    <button
      type="button"
      className={classes.arrow}
      data-side={side}
      aria-label={label}
      disabled={onClick === undefined}
      onClick={onClick}
    >
      <Icon name="back" size={26} />
    </button>
  );
}

interface ZoomButtonProps {
  label: string;
  onClick: () => void;
  children: ReactNode;
}

function ZoomButton({ label, onClick, children }: ZoomButtonProps) {
  return (
    <ActionIcon variant="subtle" color="gray" size={30} aria-label={label} onClick={onClick}>
      {children}
    </ActionIcon>
  );
}
