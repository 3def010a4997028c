import { Button } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { jobDatasetsQuery } from "@/api/queries";
import type { DatasetContents as Contents, JobConfigValue, JobDatasets } from "@/api/types";
import { ProblemList } from "@/components/ui/problem-list";
import { Thumbnail } from "@/components/ui/thumbnail";
import { formatCount } from "@/lib/format";
import { RETRY_MS, stateAfter } from "@/lib/use-answer";
import { words } from "@/messages/job-form";
import classes from "./dataset-contents.module.css";

const PAUSE_MS = 400;
const FIRST_PICTURES = 12;

const whyNotShown = {
  refused: words.contents.waiting,
  away: words.contents.away,
  failed: words.contents.failed,
};

interface DatasetContentsProps {
  config: JobConfigValue;
  /** Of the dataset in the job's list. */
  place: number;
}

/** What a job's dataset holds and how it trains: pictures, sizes, batches, what is wrong. */
export function DatasetContents({ config, place }: DatasetContentsProps) {
  const asked = useMemo(() => JSON.stringify(whatMatters(config)), [config]);
  const [settled] = useDebouncedValue(asked, PAUSE_MS);
  const query = useQuery({
    ...jobDatasetsQuery(settled),
    placeholderData: keepPreviousData,
    enabled: chosenName(config, place) !== "",
    refetchInterval: ({ state }) =>
      state.status === "error" && stateAfter(state.error) !== "refused" ? RETRY_MS : false,
  });
  const found = query.data;
  const dataset = found?.datasets[place];

  if (query.isError && !query.isPlaceholderData) {
    return (
      <p className={classes.note} role="status">
        {whyNotShown[stateAfter(query.error)]}
      </p>
    );
  }
  if (dataset === undefined || dataset.name !== chosenName(config, place)) {
    return chosenName(config, place) === "" ? null : (
      <p className={classes.note}>{words.contents.checking}</p>
    );
  }
  if (dataset.name === "" || found === undefined) {
    return null;
  }
  return (
    <section
      className={classes.contents}
      aria-label={words.contents.title(dataset.name)}
      aria-busy={query.isFetching || asked !== settled}
    >
      {dataset.problems.length > 0 && (
        <div className={classes.problems}>
          <h4>{words.contents.problems}</h4>
          <ProblemList problems={dataset.problems} />
        </div>
      )}
      {dataset.num_pictures > 0 && (
        <div className={classes.columns}>
          <Pictures dataset={dataset} />
          <Buckets dataset={dataset} job={found} />
        </div>
      )}
    </section>
  );
}

/** Only what the answer depends on: whatever else is wrong with the job does not matter here. */
function whatMatters(config: JobConfigValue): JobConfigValue {
  const { job, training, advanced, datasets } = config as Record<string, Record<string, unknown>>;
  return {
    job: { training_name: "", trigger_word: job?.trigger_word ?? "" },
    training: {
      batch_size: training?.batch_size,
      gradient_accumulation: training?.gradient_accumulation,
      steps: training?.steps,
    },
    advanced: {
      validation: advanced?.validation === "held_out" ? "held_out" : "off",
      held_out_share: advanced?.held_out_share,
    },
    datasets,
  };
}

function chosenName(config: JobConfigValue, place: number): unknown {
  const list = config.datasets as Record<string, unknown>[] | undefined;
  return list?.[place]?.target_dataset ?? "";
}

function Pictures({ dataset }: { dataset: Contents }) {
  const [all, setAll] = useState(false);
  const shown = all ? dataset.pictures : dataset.pictures.slice(0, FIRST_PICTURES);
  const more = dataset.pictures.length - shown.length;
  return (
    <div>
      <h4>{words.contents.pictures(dataset.num_pictures, dataset.num_captioned)}</h4>
      <ul className={classes.pictures}>
        {shown.map((picture) => {
          const caption = picture.caption || words.contents.noCaption;
          return (
            <li key={picture.name} title={words.contents.alt(picture.name, caption)}>
              <Thumbnail src={picture.url} alt={words.contents.alt(picture.name, caption)} />
            </li>
          );
        })}
      </ul>
      {more > 0 && (
        <Button variant="subtle" size="compact-sm" onClick={() => setAll(true)}>
          {words.contents.more(more)}
        </Button>
      )}
    </div>
  );
}

function Buckets({ dataset, job }: { dataset: Contents; job: JobDatasets }) {
  const isShared = dataset.buckets.some((bucket) => bucket.is_shared);
  return (
    <div>
      <h4>{words.contents.buckets}</h4>
      <table className={classes.buckets} aria-label={words.contents.buckets}>
        <thead>
          <tr>
            <th scope="col">{words.contents.size}</th>
            <th scope="col">{words.contents.numPictures}</th>
            <th scope="col">{words.contents.turns}</th>
            <th scope="col">{words.contents.batches}</th>
          </tr>
        </thead>
        <tbody>
          {dataset.buckets.map((bucket) => (
            <tr key={`${bucket.width} ${bucket.height} ${bucket.resolution} ${bucket.num_batches}`}>
              <th scope="row">
                {bucket.width} × {bucket.height}
                {bucket.resolution === null && (
                  <span className={classes.mark}>{words.contents.ownSize}</span>
                )}
              </th>
              <td>{formatCount(bucket.num_pictures)}</td>
              <td>{formatCount(bucket.num_turns)}</td>
              <td>
                {formatCount(bucket.num_batches)}
                {bucket.is_shared && <span className={classes.mark}>{words.contents.shared}</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className={classes.note}>
        {words.contents.epoch(job.num_batches, rounded(job.num_steps))}.{" "}
        {job.num_epochs !== null && words.contents.epochs(rounded(job.num_epochs))}{" "}
        {words.contents.turnsHelp} {isShared && words.contents.sharedHelp}{" "}
        {job.held_out_share > 0 && words.contents.heldOut(Math.round(100 * job.held_out_share))}
      </p>
    </div>
  );
}

function rounded(value: number): string {
  return value >= 100 ? formatCount(value) : String(Number(value.toPrecision(3)));
}
