import { QueryClient } from "@tanstack/react-query";
import { jobSummary, metric, sample, wholeJob } from "@tests/examples";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { applyJob, applyJobDeleted, applySample, joined } from "./apply-event";
import { keys } from "./queries";
import type { Job, JobSummary, Sample } from "./types";

let client: QueryClient;
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
});

describe("a job that moved", () => {
  test("is replaced in the list and on its own page, and said when its state is another", () => {
    const moved = vi.fn();
    client.setQueryData(keys.jobs, [jobSummary(), jobSummary({ id: 2 })]);
    client.setQueryData(keys.job(1), wholeJob({ folder: "kept" }));
    applyJob(
      client,
      jobSummary({ status: "completed", updated_at: "2026-02-01T00:00:00Z" }),
      moved,
    );
    expect(client.getQueryData<JobSummary[]>(keys.jobs)?.map((job) => job.status)).toEqual([
      "completed",
      "running",
    ]);
    expect(client.getQueryData<Job>(keys.job(1))).toMatchObject({
      status: "completed",
      folder: "kept",
    });
    expect(moved).toHaveBeenCalledTimes(1);
  });

  test("is not taken back by an older event", () => {
    const moved = vi.fn();
    client.setQueryData(keys.jobs, [jobSummary({ status: "completed" })]);
    applyJob(client, jobSummary({ updated_at: "2026-01-01T00:00:00Z" }), moved);
    expect(client.getQueryData<JobSummary[]>(keys.jobs)?.[0]?.status).toBe("completed");
    expect(moved).not.toHaveBeenCalled();
  });

  test("joins the list when it is new and leaves it when it is deleted", () => {
    client.setQueryData(keys.jobs, [jobSummary()]);
    applyJob(client, jobSummary({ id: 9 }), vi.fn());
    applyJobDeleted(client, 1);
    expect(client.getQueryData<JobSummary[]>(keys.jobs)?.map((job) => job.id)).toEqual([9]);
  });
});

test("a sample that arrives twice is there once", () => {
  client.setQueryData(keys.samples(1), []);
  applySample(client, 1, sample(5, 0, 0, "a"));
  applySample(client, 1, sample(5, 0, 0, "a"));
  expect(client.getQueryData<Sample[]>(keys.samples(1))).toHaveLength(1);
});

test("what nobody has fetched is not made up from events", () => {
  applySample(client, 1, sample(5, 0, 0, "a"));
  applyJob(client, jobSummary(), vi.fn());
  expect(client.getQueryData(keys.samples(1))).toBeUndefined();
  expect(client.getQueryData(keys.jobs)).toBeUndefined();
});
