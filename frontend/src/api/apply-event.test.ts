import { QueryClient, QueryObserver } from "@tanstack/react-query";
import {
  command,
  jobSummary,
  loadSample,
  measurement,
  metric,
  sample,
  wholeJob,
} from "@tests/examples";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  applyCommand,
  applyJob,
  applyJobDeleted,
  applyLoad,
  applyMeasurement,
  applyPreview,
  applySample,
  applySampleRemoved,
  applySteps,
  joined,
} from "./apply-event";
import { type JobLists, withJob } from "./job-lists";
import { jobsQuery, keys, MAX_CURVE_POINTS } from "./queries";
import type { Command, Job, JobSummary, LoadHistory, Measurement, Metric, Sample } from "./types";

let client: QueryClient;
/** What the queue shows without a filter. */
const unfiltered = jobsQuery().queryKey;
beforeEach(() => {
  client = new QueryClient();
});

describe("one curve across resumes", () => {
  const steps = (from: number, to: number, run = 1) =>
    Array.from({ length: to - from + 1 }, (_, index) => metric(from + index, { run }));
  const outline = (metrics: { step: number; run: number }[]) =>
    metrics.map(({ step, run }) => `${step}/${run}`).join(" ");

  test("grows by what comes after", () => {
    expect(outline(joined(steps(1, 2), steps(3, 4)))).toBe("1/1 2/1 3/1 4/1");
  });

  test("is not changed by what it already holds", () => {
    const known = steps(1, 4);
    expect(joined(known, steps(2, 3))).toBe(known);
    expect(joined(known, [])).toBe(known);
  });

  test("takes an overlap once", () => {
    expect(outline(joined(steps(1, 3), steps(3, 5)))).toBe("1/1 2/1 3/1 4/1 5/1");
  });

  test("gives way to a later run that trains the same steps again", () => {
    expect(outline(joined(steps(1, 5), steps(3, 4, 2)))).toBe("1/1 2/1 3/2 4/2");
  });

  test("takes live steps, and so does that of their own run, and no other", () => {
    client.setQueryData(keys.metrics(1), steps(1, 5));
    client.setQueryData(keys.metrics(1, 1), steps(1, 5));
    client.setQueryData(keys.metrics(1, 2), []);
    applySteps(client, 1, steps(3, 4, 2));
    const known = (run?: number) =>
      outline(client.getQueryData<Metric[]>(keys.metrics(1, run)) ?? []);
    expect(known()).toBe("1/1 2/1 3/2 4/2");
    expect(known(1)).toBe("1/1 2/1 3/1 4/1 5/1");
    expect(known(2)).toBe("3/2 4/2");
  });

  test("has its zoomed parts fetched anew when a later run takes the place of steps", () => {
    client.setQueryData(keys.metrics(1), steps(1, 5));
    client.setQueryData(keys.metrics(1, 2), []);
    const part = [...keys.metrics(1), 2, 5];
    client.setQueryData(part, steps(2, 5));
    const isOld = (queryKey: readonly unknown[]) =>
      client.getQueryState(queryKey)?.isInvalidated === true;
    applySteps(client, 1, steps(6, 7));
    expect(isOld(part)).toBe(false);
    applySteps(client, 1, steps(3, 4, 2));
    expect([isOld(part), isOld(keys.metrics(1))]).toEqual([true, false]);
    client.setQueryData(part, steps(2, 5));
    applySteps(client, 1, steps(5, 6, 2));
    expect(isOld(part)).toBe(false);
  });
});

describe("what a page keeps that is open for days", () => {
  test("of a curve is at most twice what a screen shows: then it is fetched anew, thinned out", async () => {
    const fetched = vi.fn(async () => [metric(1), metric(9000)]);
    const observer = new QueryObserver(client, {
      queryKey: keys.metrics(1),
      queryFn: fetched,
      staleTime: Number.POSITIVE_INFINITY,
      initialData: Array.from({ length: 2 * MAX_CURVE_POINTS - 1 }, (_, i) => metric(i + 1)),
    });
    const stop = observer.subscribe(() => {});
    applySteps(client, 1, [metric(8000)]);
    expect(fetched).not.toHaveBeenCalled();
    applySteps(client, 1, [metric(8001)]);
    applySteps(client, 1, [metric(8002)]);
    await vi.waitFor(() => expect(observer.getCurrentResult().data).toHaveLength(2));
    stop();
  });

  test("of the machine's load is the last quarter of an hour", () => {
    client.setQueryData(keys.load, { interval_seconds: 3, items: [] });
    for (let minute = 0; minute < 24 * 60; minute += 1) {
      applyLoad(client, loadSample(60 * minute, 1));
    }
    const kept = client.getQueryData<LoadHistory>(keys.load)?.items ?? [];
    expect(kept).toHaveLength(300);
    expect(kept.at(-1)?.at).toBe(loadSample(60 * (24 * 60 - 1), 1).at);
  });
});

/** The four lists with these jobs; `next` is the cursor of the finished ones. */
function listsOf(jobs: JobSummary[], next: string | null = null): JobLists {
  const empty = { items: [], next: null };
  const none: JobLists = {
    running: empty,
    waiting: empty,
    scheduled: empty,
    drafts: empty,
    finished: empty,
  };
  const lists = jobs.reduce((known, job) => withJob(known, job), none);
  return { ...lists, finished: { ...lists.finished, next } };
}

function idsIn(name: keyof JobLists) {
  return client.getQueryData(unfiltered)?.[name].items.map(({ id }) => id);
}

const finishedAt = (id: number, minute: number) =>
  jobSummary({
    id,
    status: "completed",
    finished_at: `2026-01-31T20:${minute}:00Z`,
    updated_at: `2026-01-31T20:${minute}:00Z`,
  });

describe("a job that moved", () => {
  test("changes its list and its own page, and is said when its state is another", () => {
    const moved = vi.fn();
    client.setQueryData(unfiltered, listsOf([jobSummary(), jobSummary({ id: 2 })]));
    client.setQueryData(keys.job(1), wholeJob({ folder: "kept" }));
    applyJob(
      client,
      jobSummary({ status: "completed", updated_at: "2026-02-01T00:00:00Z" }),
      moved,
    );
    expect(idsIn("running")).toEqual([2]);
    expect(idsIn("finished")).toEqual([1]);
    expect(client.getQueryData<Job>(keys.job(1))).toMatchObject({
      status: "completed",
      folder: "kept",
    });
    expect(moved).toHaveBeenCalledTimes(1);
  });

  test("is not taken back by an older event", () => {
    const moved = vi.fn();
    client.setQueryData(unfiltered, listsOf([jobSummary({ status: "completed" })]));
    applyJob(client, jobSummary({ updated_at: "2026-01-01T00:00:00Z" }), moved);
    expect(idsIn("finished")).toEqual([1]);
    expect(idsIn("running")).toEqual([]);
    expect(moved).not.toHaveBeenCalled();
  });

  test("joins the list when it is new and leaves it when it is deleted", () => {
    client.setQueryData(unfiltered, listsOf([jobSummary()]));
    applyJob(client, jobSummary({ id: 9 }), vi.fn());
    applyJobDeleted(client, 1);
    expect(idsIn("running")).toEqual([9]);
  });

  test("joins no list of trainings when it is a drawing", () => {
    client.setQueryData(unfiltered, listsOf([jobSummary()]));
    applyJob(client, jobSummary({ id: 9, kind: "drawing" }), vi.fn());
    expect(idsIn("running")).toEqual([1]);
  });

  test("stands among the waiting where the queue has it", () => {
    const waiting = (id: number, queue_position: number) =>
      jobSummary({ id, status: "queued", queue_position });
    client.setQueryData(unfiltered, listsOf([waiting(1, 1), waiting(2, 2)]));
    applyJob(client, { ...waiting(1, 2), updated_at: "2026-02-01T00:00:00Z" }, vi.fn());
    applyJob(client, { ...waiting(2, 1), updated_at: "2026-02-01T00:00:00Z" }, vi.fn());
    expect(idsIn("waiting")).toEqual([2, 1]);
  });

  test("is left to a later page when its place lies beyond what was fetched", () => {
    const shown = [finishedAt(1, 40), finishedAt(2, 30)];
    client.setQueryData(unfiltered, listsOf(shown, "cursor"));
    applyJob(client, finishedAt(3, 20), vi.fn());
    expect(idsIn("finished")).toEqual([1, 2]);
    applyJob(client, finishedAt(4, 35), vi.fn());
    expect(idsIn("finished")).toEqual([1, 4, 2]);
    applyJob(client, { ...finishedAt(2, 30), loss: 0.1 }, vi.fn());
    expect(idsIn("finished")).toEqual([1, 4, 2]);
  });
});

test("a sample that arrives twice is there once", () => {
  client.setQueryData(keys.samples(1), []);
  applySample(client, 1, sample(5, 0, 0, "a"));
  applySample(client, 1, sample(5, 0, 0, "a"));
  expect(client.getQueryData<Sample[]>(keys.samples(1))).toHaveLength(1);
});

test("a preview gives way to its picture, and a picture that is deleted is gone", () => {
  client.setQueryData<Sample[]>(keys.samples(1), []);
  applyPreview(client, 1, { job_id: 1, step: 50, prompt_index: 0, done: 3, total: 20 });
  expect(client.getQueryData(keys.preview(1))).toMatchObject({ done: 3 });
  applySample(client, 1, sample(5, 50, 0, "a fox"));
  expect(client.getQueryData(keys.preview(1))).toBeNull();
  applySampleRemoved(client, 1, 5);
  expect(client.getQueryData(keys.samples(1))).toEqual([]);
});

test("what nobody has fetched is not made up from events", () => {
  applySample(client, 1, sample(5, 0, 0, "a"));
  applyJob(client, jobSummary(), vi.fn());
  expect(client.getQueryData(keys.samples(1))).toBeUndefined();
  expect(client.getQueryData(unfiltered)).toBeUndefined();
});

describe("measurements", () => {
  const steps = () =>
    client.getQueryData<Measurement[]>(keys.measurements(1))?.map(({ step, run }) => [step, run]);

  test("make one curve: a later run takes the place of what it measures again", () => {
    client.setQueryData(keys.measurements(1), [measurement(0), measurement(2), measurement(4)]);
    applyMeasurement(client, 1, measurement(4));
    expect(steps()).toEqual([
      [0, 1],
      [2, 1],
      [4, 1],
    ]);
    applyMeasurement(client, 1, measurement(2, { run: 2 }));
    expect(steps()).toEqual([
      [0, 1],
      [2, 2],
    ]);
    applyMeasurement(client, 1, measurement(4));
    expect(steps()).toEqual([
      [0, 1],
      [2, 2],
    ]);
  });

  test("reach the curve of their own run as well, and no other", () => {
    client.setQueryData(keys.measurements(1, 1), [measurement(2), measurement(4)]);
    client.setQueryData(keys.measurements(1, 2), []);
    applyMeasurement(client, 1, measurement(2, { run: 2 }));
    const known = (run: number) => client.getQueryData<Measurement[]>(keys.measurements(1, run));
    expect(known(1)).toEqual([measurement(2), measurement(4)]);
    expect(known(2)).toEqual([measurement(2, { run: 2 })]);
  });
});

test("an answer to a command replaces its question, and a taken change fetches the job anew", () => {
  client.setQueryData(keys.job(1), wholeJob());
  client.setQueryData(keys.commands(1), [command({ id: 1 })]);
  applyCommand(client, 1, command({ id: 2 }));
  expect(client.getQueryState(keys.job(1))?.isInvalidated).toBe(false);
  applyCommand(client, 1, command({ id: 1, outcome: "taken", step: 5 }));
  const known = client.getQueryData<Command[]>(keys.commands(1));
  expect(known?.map(({ id, outcome }) => `${id} ${outcome}`)).toEqual(["2 waiting", "1 taken"]);
  expect(client.getQueryState(keys.job(1))?.isInvalidated).toBe(true);
});

describe("an answer that was read before an event and arrives after it", () => {
  test("does not undo what the event told: it is asked for once more", async () => {
    const answers = [
      [sample(1, 0, 0, "a fox")],
      [sample(1, 0, 0, "a fox"), sample(2, 50, 0, "a fox")],
    ];
    const given: ((list: Sample[]) => void)[] = [];
    const observer = new QueryObserver<Sample[]>(client, {
      queryKey: keys.samples(1),
      queryFn: () => new Promise((answer) => given.push(answer)),
    });
    const stop = observer.subscribe(() => {});
    // Two events while the first answer is under way: one more question, not two.
    applySample(client, 1, sample(2, 50, 0, "a fox"));
    applySample(client, 1, sample(2, 50, 0, "a fox"));
    given[0]?.(answers[0] as Sample[]);
    await vi.waitFor(() => expect(given).toHaveLength(2));
    given[1]?.(answers[1] as Sample[]);
    await vi.waitFor(() => expect(observer.getCurrentResult().data).toHaveLength(2));
    expect(observer.getCurrentResult().fetchStatus).toBe("idle");
    expect(given).toHaveLength(2);
    stop();
  });

  test("is of no matter when nothing was being asked", () => {
    client.setQueryData(keys.samples(1), []);
    applySample(client, 1, sample(2, 50, 0, "a fox"));
    expect(client.getQueryData<Sample[]>(keys.samples(1))).toHaveLength(1);
    expect(client.isFetching()).toBe(0);
  });
});
