import { Button } from "@mantine/core";
import { type ReactNode, useDeferredValue, useMemo, useRef, useState } from "react";
import type { SampleMarks } from "@/api/client";
import type { Sample } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { samplesArchive } from "@/lib/archives";
import { text } from "@/messages";
import classes from "./gallery.module.css";
import { filtered, NO_FILTER } from "./gallery-filter";
import { type Gallery as GalleryData, type GalleryJob, galleryOf, idSpans } from "./gallery-model";
import { type Archive, GalleryToolbar } from "./gallery-toolbar";
import type { Place } from "./grid-keys";
import type { CellSize } from "./grid-window";
import { Lightbox } from "./lightbox";
import { SampleGrid } from "./sample-grid";
import { useCellSize } from "./use-cell-size";
import type { OwnedSample } from "./use-sample-removal";

interface GalleryProps extends Omit<GalleryViewProps, "whole" | "sources"> {
  jobs: GalleryJob[];
}

interface GalleryViewProps {
  whole: GalleryData;
  /** Whose pictures they are, to take home. */
  sources: Pick<GalleryJob, "id" | "name" | "samples">[];
  /** On a page of its own it takes the window's height. */
  isTall?: boolean;
  /** Stars and notes can be given. */
  onMark?: ((sample: Sample, marks: SampleMarks) => void) | undefined;
  /** Pictures can be deleted. */
  onRemove?: ((pictures: OwnedSample[]) => void) | undefined;
  /** The step whose pictures alone are shown at first, beside the base model's. */
  step?: number | null;
  /** What else can be done with a picture, beside its recipe. */
  actions?: ((sample: Sample, close: () => void) => ReactNode) | undefined;
}

/** The grid's tab stop, or what brings a grid back. */
const AFTER_LIGHTBOX = '[data-cell][tabindex="0"], [data-all]';

interface Opened {
  place: Place;
  other: Place | null;
  playing: boolean;
}

/** Pictures of one job or several: the grid, what is to be seen of it, and one against another. */
export function Gallery({ jobs, ...view }: GalleryProps) {
  const whole = useMemo(() => galleryOf(jobs), [jobs]);
  return <GalleryView {...view} whole={whole} sources={jobs} />;
}

/** The same of rows and columns that are made already. */
export function GalleryView(props: GalleryViewProps) {
  const { whole, sources, isTall = false, step = null, onMark, onRemove, actions } = props;
  const [filter, setFilter] = useState({ ...NO_FILTER, fromStep: step, toStep: step });
  const [size, setSize] = useCellSize();
  const [opened, setOpened] = useState<Opened | null>(null);
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const box = useRef<HTMLDivElement>(null);
  const asked = useDeferredValue(filter);
  const shown = useMemo(() => filtered(whole, asked), [whole, asked]);
  const count = samplesIn(shown).length;
  const all = samplesIn(whole).length;
  const chosen = placesOf(shown, selected);

  const select = (id: number) =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(id)) {
        after.add(id);
      }
      return after;
    });
  const star =
    onMark &&
    ((id: number) => {
      const sample = samplesIn(whole).find((one) => one.id === id);
      if (sample !== undefined) {
        onMark(sample, { starred: !sample.is_starred });
      }
    });
  const remove =
    onRemove &&
    ((ids: ReadonlySet<number>) => {
      onRemove(ownedSamples(sources, ids));
      setSelected((before) => new Set([...before].filter((id) => !ids.has(id))));
    });
  const archives = archivesOf(sources, shown, selected, count === all ? null : count);
  return (
    <div ref={box} className={classes.gallery}>
      <GalleryToolbar
        filter={filter}
        onFilter={setFilter}
        steps={whole.columns === undefined ? whole.steps : []}
        numPrompts={whole.groups.length}
        size={size}
        onSize={(next: CellSize) => setSize(next)}
        hasNotes={samplesIn(whole).some((one) => one.note !== "")}
        hasStars={samplesIn(whole).some((one) => one.is_starred)}
        archives={archives}
      />
      {selected.size > 0 && (
        <div className={classes.selection} role="status">
          {text.samples.selected(selected.size)}
          {chosen.length === 2 && (
            <Button
              size="xs"
              onClick={() =>
                setOpened({
                  place: chosen[1] as Place,
                  other: chosen[0] as Place,
                  playing: false,
                })
              }
            >
              {text.samples.compareSelected}
            </Button>
          )}
          {remove !== undefined && (
            <Button
              size="xs"
              variant="default"
              leftSection={<Icon name="trash" size={15} />}
              onClick={() => remove(selected)}
            >
              {text.samples.removeSelected(selected.size)}
            </Button>
          )}
          <Button size="xs" variant="subtle" color="gray" onClick={() => setSelected(new Set())}>
            {text.samples.clearSelection}
          </Button>
        </div>
      )}
      {shown.groups.length === 0 ? (
        <Empty icon="picture" title={text.samples.nothingFound}>
          <Button size="xs" variant="default" data-all onClick={() => setFilter(NO_FILTER)}>
            {text.samples.showAll}
          </Button>
        </Empty>
      ) : (
        <SampleGrid
          gallery={shown}
          size={size}
          isTall={isTall}
          selected={selected}
          onOpen={(place) => setOpened({ place, other: null, playing: false })}
          onPlay={(place) => setOpened({ place, other: null, playing: true })}
          onSelect={select}
          onStar={star}
          onRemove={remove && ((id) => remove(new Set([id])))}
        />
      )}
      <p className={classes.foot}>
        <span className="num">
          {text.samples.count(count, all)}
          {count !== all && shown.groups.length > 0 && (
            <Button
              size="compact-xs"
              variant="subtle"
              color="gray"
              ml={6}
              onClick={() => setFilter(NO_FILTER)}
            >
              {text.samples.showAll}
            </Button>
          )}
        </span>
        <span className={classes.keys}>{text.samples.gridKeys(remove !== undefined)}</span>
      </p>
      {opened !== null && (
        <Lightbox
          gallery={shown}
          place={opened.place}
          other={opened.other}
          playing={opened.playing}
          onMove={(place) => setOpened((before) => before && { ...before, place })}
          onClose={() => setOpened(null)}
          focusAfter={() => box.current?.querySelector<HTMLElement>(AFTER_LIGHTBOX) ?? null}
          onStar={star}
          onNote={onMark && ((sample, note) => onMark(sample, { note }))}
          onRemove={remove && (({ id }) => remove(new Set([id])))}
          actions={(sample) => actions?.(sample, () => setOpened(null))}
        />
      )}
    </div>
  );
}

/** Each once: a base picture stands in several lanes. */
function samplesIn(gallery: GalleryData): Sample[] {
  const found = new Map<number, Sample>();
  for (const { lanes } of gallery.groups) {
    for (const lane of lanes) {
      for (const sample of lane.byStep.values()) {
        found.set(sample.id, sample);
      }
    }
  }
  return [...found.values()];
}

/** The pictures of these numbers with the jobs that drew them. */
function ownedSamples(jobs: GalleryViewProps["sources"], ids: ReadonlySet<number>): OwnedSample[] {
  return jobs.flatMap((job) =>
    job.samples.filter(({ id }) => ids.has(id)).map((sample) => ({ jobId: job.id, sample })),
  );
}

/** Where the pictures of these numbers are, the earliest step first. */
function placesOf(gallery: GalleryData, ids: ReadonlySet<number>): Place[] {
  const places = new Map<number, Place>();
  for (const { lanes } of gallery.groups) {
    for (const lane of lanes) {
      for (const [step, sample] of lane.byStep) {
        if (ids.has(sample.id) && !places.has(sample.id)) {
          places.set(sample.id, { lane: lane.key, step });
        }
      }
    }
  }
  return [...places.values()].sort((one, other) => one.step - other.step);
}

/** An archive is one job's; the numbers of pictures are no two jobs'. */
function archivesOf(
  jobs: GalleryViewProps["sources"],
  shown: GalleryData,
  selected: ReadonlySet<number>,
  shownCount: number | null,
): Archive[] {
  const seen = new Set(samplesIn(shown).map(({ id }) => id));
  const several = jobs.length > 1;
  return jobs.flatMap((job) => {
    const own = job.samples.map(({ id }) => id);
    const chosen = own.filter((id) => selected.has(id));
    const inSight = own.filter((id) => seen.has(id));
    const named = (label: string) => (several ? `${job.name}: ${label.toLowerCase()}` : label);
    return [
      ...(chosen.length === 0
        ? []
        : [
            {
              label: named(text.samples.downloadSelected(chosen.length)),
              url: samplesArchive(job.id, idSpans(chosen)),
            },
          ]),
      ...(shownCount === null || inSight.length === 0 || inSight.length === own.length
        ? []
        : [
            {
              label: named(text.samples.downloadShown(inSight.length)),
              url: samplesArchive(job.id, idSpans(inSight)),
            },
          ]),
      ...(own.length === 0
        ? []
        : [{ label: text.samples.downloadAll(job.name), url: samplesArchive(job.id) }]),
    ];
  });
}
