import { useQuery } from "@tanstack/react-query";
import { memo } from "react";
import { previewQuery } from "@/api/queries";
import type { Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { RetryingPicture } from "@/components/ui/retrying-picture";
import { text } from "@/messages";
import type { Drawing, Failure } from "./gallery-model";
import { previewUrl } from "./gallery-round";
import classes from "./sample-grid.module.css";

const SMALL_PX = 256;

/** Whether a thumbnail of 256 px would be blown up in a cell of this width in CSS pixels. */
export function isLargeCell(width: number): boolean {
  return width * (globalThis.devicePixelRatio || 1) > SMALL_PX * 1.1;
}

interface SampleCellProps {
  sample: Sample | undefined;
  failure: Failure | undefined;
  drawing: Drawing | undefined;
  label: string;
  /** Of its column. */
  title: string;
  isWaiting: boolean;
  /** Not the cell's width: with each new one all the pictures would be drawn anew. */
  isLarge: boolean;
  isActive: boolean;
  isSelected: boolean;
  onOpen: () => void;
  onFocus: () => void;
  onSelect: () => void;
}

/** One place of the grid: a picture, why there is none, or nothing yet. */
export const SampleCell = memo(
  function SampleCell(props: SampleCellProps) {
    const { sample, failure, label, isLarge, isActive, isSelected } = props;
    const tabIndex = isActive ? 0 : -1;
    if (props.drawing !== undefined) {
      return <InTheMaking drawing={props.drawing} tabIndex={tabIndex} onFocus={props.onFocus} />;
    }
    if (sample === undefined) {
      return (
        // biome-ignore lint/a11y/noStaticElementInteractions: the grid's arrow keys lead here too
        <div
          className={classes.missing}
          data-failed={failure !== undefined}
          data-cell
          tabIndex={tabIndex}
          onFocus={props.onFocus}
          title={failure?.message}
        >
          {failure === undefined ? (
            props.isWaiting ? (
              text.samples.waiting
            ) : (
              text.samples.notDrawn
            )
          ) : (
            <>
              <Icon name="failed" size={18} />
              <span aria-hidden="true">{text.samples.failed}</span>
              <span className="visually-hidden">{text.samples.failedBecause(failure.message)}</span>
            </>
          )}
        </div>
      );
    }
    return (
      <>
        <button
          type="button"
          className={classes.open}
          aria-label={label}
          title={sample.note || undefined}
          data-cell
          data-selected={isSelected}
          tabIndex={tabIndex}
          onFocus={props.onFocus}
          onClick={props.onOpen}
        >
          <Picture sample={sample} title={props.title} isLarge={isLarge} />
        </button>
        {sample.note !== "" && (
          <span className={classes.noted}>
            <Icon name="edit" size={14} />
            <span className="visually-hidden">{text.samples.noted}</span>
          </span>
        )}
        {sample.is_starred && (
          <span className={classes.star}>
            <Icon name="star" size={14} />
          </span>
        )}
        <button
          type="button"
          className={classes.select}
          aria-label={text.samples.select(label)}
          aria-pressed={isSelected}
          tabIndex={-1}
          onClick={props.onSelect}
        >
          <Icon name="check" size={15} />
        </button>
      </>
    );
  },
  (before, after) =>
    before.sample === after.sample &&
    before.failure === after.failure &&
    before.drawing === after.drawing &&
    before.label === after.label &&
    before.title === after.title &&
    before.isWaiting === after.isWaiting &&
    before.isLarge === after.isLarge &&
    before.isActive === after.isActive &&
    before.isSelected === after.isSelected,
);

interface InTheMakingProps {
  drawing: Drawing;
  tabIndex: number;
  onFocus: () => void;
}

/** What a picture is becoming, and how far it is: what changes four times a second, and alone. */
function InTheMaking({ drawing, tabIndex, onFocus }: InTheMakingProps) {
  const preview = useQuery(previewQuery(drawing.jobId)).data;
  const { done, total } = preview ?? { done: 0, total: 0 };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the grid's arrow keys lead here too
    <div className={classes.making} data-cell tabIndex={tabIndex} onFocus={onFocus}>
      {preview && (
        <img className={classes.picture} src={previewUrl(preview)} alt="" decoding="sync" />
      )}
      <div
        className={classes.progress}
        role="progressbar"
        aria-label={text.samples.drawing}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={done}
      >
        <span style={{ width: `${(100 * done) / Math.max(1, total)}%` }} />
      </div>
      <span className={classes.makingCount}>{text.samples.drawingAt(done, total)}</span>
    </div>
  );
}

interface PictureProps {
  sample: Sample;
  title: string;
  isLarge: boolean;
}

function Picture({ sample, title, isLarge }: PictureProps) {
  return (
    <RetryingPicture
      className={classes.picture}
      src={isLarge ? `${sample.thumbnail_url}&side=640` : sample.thumbnail_url}
      width={sample.width}
      height={sample.height}
      alt={text.samples.alt(sample.prompt, title)}
      decoding="async"
      style={{ imageRendering: sample.width < SMALL_PX ? "pixelated" : undefined }}
      instead={(isLost) => (
        <span className={classes.damaged}>
          <Icon name="picture" size={22} />
          {isLost && text.samples.damaged}
        </span>
      )}
    />
  );
}
