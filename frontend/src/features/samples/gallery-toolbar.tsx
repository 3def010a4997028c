import { Button, Chip, Menu, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { Icon } from "@/components/ui/icons";
import { formatCount } from "@/lib/format";
import { text } from "@/messages";
import classes from "./gallery.module.css";
import type { Filter } from "./gallery-filter";
import type { CellSize } from "./grid-window";

/** An archive that can be fetched, and what it is of. */
export interface Archive {
  label: string;
  url: string;
}

interface GalleryToolbarProps {
  filter: Filter;
  onFilter: (filter: Filter) => void;
  /** All that there are, ascending. */
  steps: number[];
  numPrompts: number;
  size: CellSize;
  onSize: (size: CellSize) => void;
  /** Whether stars can be given at all. */
  hasStars: boolean;
  /** Whether pictures have notes, whose words are found. */
  hasNotes: boolean;
  archives: Archive[];
}

/** What is to be seen of the grid, how large, and what of it is taken home. */
export function GalleryToolbar(props: GalleryToolbarProps) {
  const { filter, onFilter, steps } = props;
  const change = (part: Partial<Filter>) => onFilter({ ...filter, ...part });
  const trained = steps.filter((step) => step !== 0);
  const [unfolded, setUnfolded] = useState(false);
  return (
    <div className={classes.toolbar} data-unfolded={unfolded}>
      <Button
        className={classes.unfold}
        size="xs"
        variant="default"
        aria-expanded={unfolded}
        onClick={() => setUnfolded((before) => !before)}
      >
        {text.samples.filter}
      </Button>
      {(props.numPrompts > 1 || props.hasNotes) && (
        <TextInput
          className={classes.foldable}
          size="xs"
          w={190}
          aria-label={text.samples.filterWords}
          placeholder={text.samples.filterWords}
          value={filter.words}
          onChange={(event) => change({ words: event.currentTarget.value })}
        />
      )}
      {trained.length > 2 && (
        <div className={`${classes.range} ${classes.foldable}`}>
          <StepSelect
            label={text.samples.fromStep}
            steps={trained.filter((step) => step <= (filter.toStep ?? Infinity))}
            step={filter.fromStep}
            onStep={(fromStep) => change({ fromStep })}
          />
          <StepSelect
            label={text.samples.toStep}
            steps={trained.filter((step) => step >= (filter.fromStep ?? 0))}
            step={filter.toStep}
            onStep={(toStep) => change({ toStep })}
          />
        </div>
      )}
      {props.hasStars && (
        <Chip
          className={classes.foldable}
          size="xs"
          checked={filter.starred}
          onChange={(starred) => change({ starred })}
          variant="outline"
        >
          {text.samples.starredOnly}
        </Chip>
      )}
      {trained.length > 1 && (
        <Chip
          className={classes.foldable}
          size="xs"
          checked={filter.newestFirst}
          onChange={(newestFirst) => change({ newestFirst })}
          variant="outline"
        >
          {text.samples.newestFirst}
        </Chip>
      )}
      <div className={classes.end}>
        <SegmentedControl
          size="xs"
          aria-label={text.samples.size}
          data={(["small", "medium", "large"] as const).map((value) => ({
            value,
            label: text.samples.sizes[value],
          }))}
          value={props.size}
          onChange={(size) => props.onSize(size as CellSize)}
        />
        <Menu position="bottom-end" withinPortal>
          <Menu.Target>
            <Button size="xs" variant="default" leftSection={<Icon name="download" size={15} />}>
              {text.samples.downloads}
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            {props.archives.map(({ label, url }) => (
              <Menu.Item key={url} component="a" href={url} download>
                {label}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      </div>
    </div>
  );
}

interface StepSelectProps {
  label: string;
  steps: number[];
  step: number | null;
  onStep: (step: number | null) => void;
}

function StepSelect({ label, steps, step, onStep }: StepSelectProps) {
  return (
    <Select
      size="xs"
      w={144}
      aria-label={label}
      placeholder={`${label}: ${text.samples.anyStep}`}
      data={steps.map((one) => ({ value: String(one), label: formatCount(one) }))}
      value={step === null ? null : String(step)}
      onChange={(value) => onStep(value === null ? null : Number(value))}
      clearable
    />
  );
}
