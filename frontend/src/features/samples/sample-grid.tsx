import { ActionIcon } from "@mantine/core";
import {
  type FocusEvent,
  type KeyboardEvent,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import type { Gallery, Lane } from "./gallery-model";
import { gridMove, isGridKey, type Place } from "./grid-keys";
import {
  type CellSize,
  cellWidth,
  columnsInSight,
  expectedSight,
  GAP_PX,
  lanesInSight,
  type PlacedLane,
  placeLanes,
  useSight,
} from "./grid-window";
import { isLargeCell, SampleCell } from "./sample-cell";
import classes from "./sample-grid.module.css";
import { columnTitle, laneTitle, recipeLine } from "./titles";

interface SampleGridProps {
  gallery: Gallery;
  size: CellSize;
  /** Whether the grid may take the window's height. */
  isTall: boolean;
  selected: ReadonlySet<number>;
  onOpen: (place: Place) => void;
  onPlay: (place: Place) => void;
  onSelect: (sampleId: number) => void;
  onStar?: ((sampleId: number) => void) | undefined;
  onRemove?: ((sampleId: number) => void) | undefined;
}

/** Below this width the base model's column would leave no room beside it. */
const STICKY_FROM_PX = 560;
const HEAD_PX = 32;

/** One line of pictures for each prompt, from the base model to the latest step. */
export function SampleGrid(props: SampleGridProps) {
  const { gallery, size, selected } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [seen, look] = useSight(scroller);
  const columns = gallery.steps.length;
  const sight = seen ?? expectedSight(columns, size, props.isTall);
  const width = cellWidth(sight.width, columns, size);
  const lanes = useMemo(() => placeLanes(gallery.groups, width), [gallery.groups, width]);
  const [active, setActive] = useState<Place | null>(null);
  const isSticky = sight.width >= STICKY_FROM_PX && gallery.steps[0] === 0;
  useNewestInSight(scroller, columns, width, { isTraining: gallery.columns === undefined, look });

  const at = placeOf(active, lanes, gallery.steps);
  const [firstLane, endLane] = lanesInSight(lanes, sight);
  const covered = isSticky ? width + GAP_PX : 0;
  const [firstColumn, endColumn] = columnsInSight(columns, width, sight, covered);
  // What holds the focus stays on the page, wherever it is scrolled to.
  const rows = withThe(at.row, range(firstLane, endLane));
  const shown = withThe(at.column, range(firstColumn, endColumn));
  const cells = isSticky ? withThe(0, shown) : shown;
  const last = lanes[lanes.length - 1];
  const severalJobs = new Set(lanes.map(({ lane }) => lane.jobId)).size > 1;
  const left = (column: number) => column * (width + GAP_PX);
  const total = left(columns) - GAP_PX;

  const led = useRef<Place | null>(null);
  const held = useRef<HTMLElement | null>(null);
  const moveTo = (row: number, column: number) => {
    const lane = lanes[row];
    const step = gallery.steps[column];
    if (lane !== undefined && step !== undefined) {
      led.current = { lane: lane.lane.key, step };
      setActive(led.current);
      bringIntoSight(scroller.current, lane, left(column), width, covered);
    }
  };
  // After each drawing: the cell that a key led to may not have been on the page before, and may
  // not be there yet when the next key comes. A cell that is taken away with the focus, as that of
  // a picture that is deleted, or comes back, leaves it to what stands in its place.
  useEffect(() => {
    const isLost = held.current?.isConnected === false && document.activeElement === document.body;
    if (isLost || (led.current !== null && led.current === active)) {
      led.current = null;
      const cell = scroller.current?.querySelector<HTMLElement>('[data-cell][tabindex="0"]');
      cell?.focus({ preventScroll: true });
    }
  });
  const onFocus = (event: FocusEvent) => {
    held.current = event.target instanceof HTMLElement ? event.target : null;
  };
  const onBlur = (event: FocusEvent) => {
    // Without another element that gets it, the cell may be on its way out of the page.
    if (event.relatedTarget !== null) {
      held.current = null;
    }
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (!(event.target instanceof HTMLElement) || event.target.dataset.cell === undefined) {
      return;
    }
    const lane = lanes[at.row]?.lane;
    const step = gallery.steps[at.column] ?? -1;
    const sample = lane?.byStep.get(step);
    const key = event.key.toLowerCase();
    if (isGridKey(event.key)) {
      event.preventDefault();
      const [row, column] = gridMove(event, at, { rows: lanes.length, columns });
      moveTo(row, column);
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    } else if (key === "x" && sample !== undefined) {
      props.onSelect(sample.id);
    } else if (key === "s" && sample !== undefined) {
      props.onStar?.(sample.id);
    } else if (key === "delete" && sample !== undefined && props.onRemove !== undefined) {
      props.onRemove(sample.id);
    } else if (key === "p" && lane !== undefined && lane.byStep.size > 0) {
      event.stopPropagation(); // the lightbox is open before the key reaches the window, and pauses
      props.onPlay({ lane: lane.key, step: sample === undefined ? firstDrawn(lane) : step });
    }
  };

  return (
    // biome-ignore lint/a11y/useSemanticElements: a table cannot be laid out in a window
    <div
      ref={scroller}
      className={classes.scroller}
      data-tall={props.isTall}
      role="grid"
      aria-label={gallery.columns === undefined ? text.samples.region : text.samples.drawingRegion}
      aria-rowcount={lanes.length + 1}
      aria-colcount={columns + 1}
      onKeyDown={onKeyDown}
      onFocus={onFocus}
      onBlur={onBlur}
      style={{ "--cell": `${width}px`, "--sight": `${sight.width}px` }}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div role="rowgroup" className={classes.head} style={{ width: total, height: HEAD_PX }}>
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        {/* biome-ignore lint/a11y/useFocusableInteractive: its cells take the focus */}
        <div role="row" aria-rowindex={1}>
          {/* biome-ignore lint/a11y/useSemanticElements: as above */}
          {/* biome-ignore lint/a11y/useFocusableInteractive: it has nothing to do */}
          <span role="columnheader" aria-colindex={1} className="visually-hidden">
            {text.samples.promptColumn}
          </span>
          {cells.map((column) => (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: it has nothing to do
            <span
              key={gallery.steps[column]}
              role="columnheader"
              aria-colindex={column + 2}
              className={classes.step}
              data-base={isSticky && column === 0}
              style={isSticky && column === 0 ? undefined : { left: left(column) }}
            >
              {columnTitle(gallery, gallery.steps[column] ?? 0)}
            </span>
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div
        role="rowgroup"
        className={classes.body}
        style={{ width: total, height: (last?.top ?? 0) + (last?.height ?? 0) }}
      >
        {rows.map((row) => {
          const placed = lanes[row] as PlacedLane;
          const { lane, group } = placed;
          const title = laneTitle(lane, severalJobs);
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: its cells take the focus
            <div
              key={lane.key}
              role="row"
              aria-rowindex={row + 2}
              className={classes.lane}
              style={{ top: placed.top, height: placed.height }}
              data-superseded={lane.supersededBy !== null}
            >
              <LaneHeader placed={placed} title={title} onPlay={props.onPlay} />
              {cells.map((column) => {
                const step = gallery.steps[column] as number;
                const sample = lane.byStep.get(step);
                const isBase = isSticky && column === 0;
                const place = { lane: lane.key, step };
                return (
                  // biome-ignore lint/a11y/useSemanticElements: as above
                  // biome-ignore lint/a11y/useFocusableInteractive: what is in it takes the focus
                  <div
                    key={step}
                    role="gridcell"
                    aria-colindex={column + 2}
                    className={classes.cell}
                    data-base={isBase}
                    style={{
                      left: isBase ? undefined : left(column),
                      top: placed.promptHeight + placed.labelHeight,
                      height: placed.cellHeight,
                    }}
                  >
                    <SampleCell
                      key={sample?.id ?? "none"}
                      sample={sample}
                      failure={lane.failures.get(step)}
                      drawing={lane.drawing?.step === step ? lane.drawing : undefined}
                      isWaiting={gallery.isComing === true && lane.waiting?.has(step) === true}
                      title={columnTitle(gallery, step)}
                      label={text.samples.open(group.number, columnTitle(gallery, step), title)}
                      isLarge={isLargeCell(width)}
                      isActive={row === at.row && column === at.column}
                      isSelected={sample !== undefined && selected.has(sample.id)}
                      onOpen={() => props.onOpen(place)}
                      onFocus={() => setActive(place)}
                      onSelect={() => sample !== undefined && props.onSelect(sample.id)}
                    />
                  </div>
                );
              })}
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface LaneHeaderProps {
  placed: PlacedLane;
  title: string;
  onPlay: (place: Place) => void;
}

/** The prompt with its own recipe, once for its lanes, and which lane this is. */
function LaneHeader({ placed, title, onPlay }: LaneHeaderProps) {
  const { group, lane } = placed;
  const prompt = group.prompt || text.samples.emptyPrompt;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table cannot be laid out in a window
    // biome-ignore lint/a11y/useFocusableInteractive: it has nothing to do
    <div role="rowheader" aria-colindex={1} className={classes.header}>
      {placed.isFirst ? (
        <div className={classes.prompt} style={{ height: placed.promptHeight }}>
          <div className={classes.words}>
            <span className={classes.promptText} title={prompt}>
              {prompt}
            </span>
            {group.like !== null && (
              <span className={classes.recipe}>{recipeLine(group.like)}</span>
            )}
          </div>
          {lane.byStep.size > 1 && (
            <ActionIcon
              variant="subtle"
              color="gray"
              size={36}
              tabIndex={-1}
              aria-label={text.samples.play(group.number)}
              onClick={() => onPlay({ lane: lane.key, step: firstDrawn(lane) })}
            >
              <Icon name="play" />
            </ActionIcon>
          )}
        </div>
      ) : (
        <span className="visually-hidden">{prompt}</span>
      )}
      {placed.hasLabel && (
        <span className={classes.label} style={{ height: placed.labelHeight }}>
          {title}
        </span>
      )}
    </div>
  );
}

function firstDrawn(lane: Lane): number {
  return Math.min(...lane.byStep.keys());
}

/** Where the tab stop is: what had the focus last, or the first picture. */
function placeOf(active: Place | null, lanes: PlacedLane[], steps: number[]) {
  const row = lanes.findIndex(({ lane }) => lane.key === active?.lane);
  const column = steps.indexOf(active?.step ?? -1);
  return { row: Math.max(0, row), column: row < 0 ? 0 : Math.max(0, column) };
}

function range(first: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
}

function withThe(one: number, others: number[]): number[] {
  return others.includes(one) ? others : [...others, one].sort((a, b) => a - b);
}

function bringIntoSight(
  scroller: HTMLElement | null,
  lane: PlacedLane,
  left: number,
  width: number,
  covered: number,
): void {
  if (scroller === null) {
    return;
  }
  const { scrollTop, scrollLeft, clientHeight, clientWidth } = scroller;
  const bottom = lane.top + lane.height + HEAD_PX;
  const top =
    lane.top < scrollTop
      ? lane.top
      : Math.max(scrollTop, Math.min(lane.top, bottom - clientHeight));
  const near =
    left < scrollLeft + covered
      ? left - covered
      : Math.max(scrollLeft, Math.min(left, left + width - clientWidth));
  scroller.scrollTo({ top, left: near });
}

/**
 * The newest step of a training is what one comes for; whoever has scrolled away from it is left in
 * peace. Looks at what is in sight for the first time when that is so.
 */
function useNewestInSight(
  scroller: { current: HTMLElement | null },
  columns: number,
  width: number,
  { isTraining, look }: { isTraining: boolean; look: () => void },
): void {
  const known = useRef({ columns: 0, width: 0 });
  useLayoutEffect(() => {
    const element = scroller.current;
    const before = known.current;
    known.current = { columns, width };
    if (element === null) {
      return;
    }
    if (!isTraining) {
      look();
      return;
    }
    const added = Math.max(0, columns - before.columns) * (width + GAP_PX);
    const fromEnd = element.scrollWidth - added - element.clientWidth - element.scrollLeft;
    if (before.columns === 0 || before.width !== width || fromEnd < width) {
      element.scrollTo({ left: element.scrollWidth });
      look();
    }
  }, [scroller, columns, width, isTraining, look]);
}
