import { ActionIcon, Button, Modal } from "@mantine/core";
import { useEffect, useState } from "react";
import type { Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import classes from "./lightbox.module.css";
import { stepTitle } from "./sample-grid";
import type { SampleTable } from "./sample-rows";

export interface Place {
  rowKey: string;
  step: number;
}

interface LightboxProps {
  table: SampleTable;
  place: Place;
  onMove: (place: Place) => void;
  onClose: () => void;
}

/** One picture as large as the window: arrows walk the grid, B holds the base model's against it. */
export function Lightbox({ table, place, onMove, onClose }: LightboxProps) {
  const [baseShown, setBaseShown] = useState(false);
  useFocusBack();
  const row = table.rows.find((candidate) => candidate.key === place.rowKey) ?? table.rows[0];
  const sample = row?.byStep.get(place.step);
  const base = row?.byStep.get(0);

  const moves = movesFrom(table, place);
  const go = (direction: keyof typeof moves) => {
    const target = moves[direction];
    if (target !== undefined) {
      onMove(target);
    }
  };

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const direction = directions[event.key];
      if (direction !== undefined) {
        event.preventDefault();
        const target = moves[direction];
        if (target !== undefined) {
          onMove(target);
        }
      } else if (event.key.toLowerCase() === "b") {
        setBaseShown(true);
      }
    };
    const onKeyUp = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() === "b") {
        setBaseShown(false);
      }
    };
    window.addEventListener("keydown", onKeyDown);
    window.addEventListener("keyup", onKeyUp);
    return () => {
      window.removeEventListener("keydown", onKeyDown);
      window.removeEventListener("keyup", onKeyUp);
    };
  }, [moves, onMove]);

  if (row === undefined || sample === undefined) {
    return null;
  }
  const shown = baseShown && base !== undefined ? base : sample;
  return (
    <Modal.Root opened onClose={onClose} fullScreen padding={0}>
      <Modal.Content className={classes.content} aria-label={text.samples.lightbox}>
        <Modal.Body className={classes.body}>
          <div className={classes.stage}>
            <img
              key={shown.id}
              className={classes.picture}
              src={shown.url}
              width={shown.width}
              height={shown.height}
              alt={text.samples.alt(shown.prompt, stepTitle(shown.step))}
              style={{ imageRendering: shown.width <= 256 ? "pixelated" : undefined }}
            />
            <Arrow
              side="left"
              label={text.samples.previousStep}
              onClick={moves.left && (() => go("left"))}
            />
            <Arrow
              side="right"
              label={text.samples.nextStep}
              onClick={moves.right && (() => go("right"))}
            />
          </div>
          <aside className={classes.aside}>
            <div className={classes.top}>
              <h2 className={classes.step} aria-live="polite">
                {stepTitle(shown.step)}
              </h2>
              <ActionIcon
                variant="subtle"
                color="gray"
                size={40}
                aria-label={text.samples.close}
                onClick={onClose}
                data-autofocus
              >
                <Icon name="close" />
              </ActionIcon>
            </div>
            <p className={classes.prompt}>{shown.prompt || text.samples.emptyPrompt}</p>
            <Recipe sample={shown} />
            <div className={classes.buttons}>
              {base !== undefined && place.step !== 0 && (
                <Button
                  variant={baseShown ? "filled" : "default"}
                  aria-pressed={baseShown}
                  onClick={() => setBaseShown((before) => !before)}
                >
                  {text.samples.showBase}
                </Button>
              )}
              <Button
                component="a"
                href={shown.url}
                download
                variant="default"
                leftSection={<Icon name="download" size={16} />}
              >
                {text.samples.download}
              </Button>
            </div>
            <p className={classes.keys}>{text.samples.keys}</p>
          </aside>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

/** Closing leads back to the picture that was opened. */
function useFocusBack(): void {
  useEffect(() => {
    const opener = document.activeElement;
    return () => {
      // The dialog still holds the focus while it is taken away.
      setTimeout(() => opener instanceof HTMLElement && opener.focus());
    };
  }, []);
}

const directions: Record<string, "left" | "right" | "up" | "down"> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

/** The nearest drawn pictures around a place. */
function movesFrom(table: SampleTable, place: Place) {
  const rowAt = table.rows.findIndex((row) => row.key === place.rowKey);
  const row = table.rows[rowAt];
  const drawn = table.steps.filter((step) => row?.byStep.has(step));
  const stepAt = drawn.indexOf(place.step);
  const toStep = (step: number | undefined) =>
    step === undefined ? undefined : { rowKey: place.rowKey, step };
  const toRow = (target: SampleTable["rows"][number] | undefined) =>
    target?.byStep.has(place.step) ? { rowKey: target.key, step: place.step } : undefined;
  return {
    left: toStep(drawn[stepAt - 1]),
    right: toStep(drawn[stepAt + 1]),
    up: toRow(table.rows[rowAt - 1]),
    down: toRow(table.rows[rowAt + 1]),
  };
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

function Recipe({ sample }: { sample: Sample }) {
  const facts = [
    [text.samples.seed, String(sample.seed)],
    [text.samples.size, `${sample.width} × ${sample.height}`],
    [text.samples.guidance, String(sample.guidance_scale)],
    [text.samples.sampleSteps, String(sample.sample_steps)],
  ];
  return (
    <dl className={classes.recipe}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="num">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
