/** The waiting jobs on the queue page: their order, and what each waits for. */

import { act, screen, waitFor, within } from "@testing-library/react";
import { jobSummary, queueState, system, wholeJob } from "@tests/examples";
import { namesIn, openPage, section, streamed, waitingJob } from "@tests/page";
import { jobsOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test } from "vitest";
import type { JobSummary } from "@/api/types";

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system/load", () => ({ interval_seconds: 3, items: [] }));
});

describe("the order of the waiting jobs", () => {
  beforeEach(() => {
    const jobs = [waitingJob(1, 1), waitingJob(2, 2), waitingJob(3, 3)];
    server.on("GET /api/jobs", ({ query }) =>
      query.get("scheduled") === "true" ? { items: [], next: null } : listed(jobs, query),
    );
    for (const job of jobs) {
      server.on(`POST /api/jobs/${job.id}/move`, ({ body }) => {
        const { before_job_id } = body as { before_job_id: number | null };
        return wholeJob({ ...job, queue_position: before_job_id === 3 ? 2 : 1 });
      });
    }
  });
  const listed = (jobs: JobSummary[], query: URLSearchParams) => ({
    items: query.getAll("status").includes("queued") ? jobs : [],
    next: null,
  });

  test("is changed by the arrow keys at once, said, and asked of the server", async () => {
    const user = openPage();
    const handle = await screen.findByRole("button", { name: /^Move job-1, number 1/ });
    handle.focus();
    await user.keyboard("{ArrowDown}");
    expect(await namesIn("Waiting")).toEqual(["job-2", "job-1", "job-3"]);
    await waitFor(() => expect(server.asked("POST /api/jobs/1/move")).toHaveLength(1));
    expect(server.asked("POST /api/jobs/1/move")[0]?.body).toEqual({ before_job_id: 3 });
    expect(await screen.findByText(/^job-1 is number \d now\.$/)).toHaveAttribute("aria-live");
    await waitFor(() => expect(document.activeElement?.id).toBe("order-1"));
  });

  test("is changed from the menu as well, and where it cannot change, that is said", async () => {
    const user = openPage();
    await user.click(await screen.findByRole("button", { name: "More actions for job-3" }));
    await user.click(await screen.findByRole("menuitem", { name: "Move to the top" }));
    expect(await namesIn("Waiting")).toEqual(["job-3", "job-1", "job-2"]);
    expect(server.asked("POST /api/jobs/3/move")[0]?.body).toEqual({ before_job_id: 1 });
    const first = screen.getByRole("button", { name: /^Move job-3/ });
    first.focus();
    await user.keyboard("{Home}");
    expect(await screen.findByText("job-3 is the next to start already.")).toBeInTheDocument();
    expect(server.asked("POST /api/jobs/3/move")).toHaveLength(1);
  });

  test("stays as the keys have it while answers are out, whatever the stream tells meanwhile", async () => {
    const answers: (() => void)[] = [];
    server.on(
      "POST /api/jobs/1/move",
      ({ body }) =>
        new Promise((resolve) => {
          const { before_job_id } = body as { before_job_id: number | null };
          const place = before_job_id === 3 ? 2 : 3;
          answers.push(() => resolve(wholeJob(waitingJob(1, place))));
        }),
    );
    const user = openPage();
    (await screen.findByRole("button", { name: /^Move job-1, number 1/ })).focus();
    await user.keyboard("{ArrowDown}{ArrowDown}");
    expect(await namesIn("Waiting")).toEqual(["job-2", "job-3", "job-1"]);
    await waitFor(() => expect(answers).toHaveLength(1));

    // Of the first move, while the second is on its way.
    await streamed(server, "job", waitingJob(1, 2), 11);
    await streamed(server, "job", waitingJob(2, 1), 12);
    expect(await namesIn("Waiting")).toEqual(["job-2", "job-3", "job-1"]);
    await user.keyboard("{ArrowDown}");
    expect(await screen.findByText("job-1 is the last one already.")).toBeInTheDocument();

    await act(async () => answers[0]?.());
    await waitFor(() => expect(answers).toHaveLength(2));
    expect(await namesIn("Waiting")).toEqual(["job-2", "job-3", "job-1"]);
    await act(async () => answers[1]?.());
    expect(await screen.findByText("job-1 is number 3 now.")).toBeInTheDocument();
    await streamed(server, "job", waitingJob(3, 2), 13);
    expect(await namesIn("Waiting")).toEqual(["job-2", "job-3", "job-1"]);
    const asked = server.asked("POST /api/jobs/1/move").map(({ body }) => body);
    expect(asked).toEqual([{ before_job_id: 3 }, { before_job_id: null }]);
  });

  test("goes back to the server's when the server refuses", async () => {
    server.on(
      "POST /api/jobs/2/move",
      () => new Refusal(409, [problem("wrong_state", "job-2 is running.")]),
    );
    const user = openPage();
    (await screen.findByRole("button", { name: /^Move job-2/ })).focus();
    await user.keyboard("{ArrowUp}");
    expect(await screen.findByText(/job-2 is running\./)).toBeVisible();
    await waitFor(async () =>
      expect(await namesIn("Waiting")).toEqual(["job-1", "job-2", "job-3"]),
    );
  });
});

test("what each job waits for is said in words, and what is held back stands apart", async () => {
  const held = [
    waitingJob(4, 3, { waits_for: "time", not_before: "2031-05-06T21:00:00Z" }),
    waitingJob(5, 4, { waits_for: "job", run_after_job_id: 9 }),
  ];
  const failed = jobSummary({ id: 9, training_name: "forerunner", status: "failed" });
  server.on("GET /api/jobs", ({ query }) => {
    const asked = query.getAll("status");
    if (asked.includes("failed")) {
      return { items: [failed], next: null };
    }
    if (!asked.includes("queued")) {
      return { items: [], next: null };
    }
    return query.get("scheduled") === "true"
      ? { items: held, next: null }
      : {
          items: [
            waitingJob(1, 1, { priority: 1 }),
            waitingJob(2, 2, { waits_for: "pause" }),
            waitingJob(6, 5, { waits_for: "larger_device", too_small_devices: ["cpu", "GPU-9"] }),
          ],
          next: null,
        };
  });
  openPage();
  expect(await namesIn("Waiting")).toEqual(["job-1High priority", "job-2", "job-6"]);
  const free = await section("Waiting");
  expect(within(free).getByText(/waits for a free device/)).toBeVisible();
  expect(within(free).getByText(/the queue is paused/)).toBeVisible();
  expect(await within(free).findByText(/waits for a larger GPU than .*Test CPU/)).toBeVisible();
  const scheduled = await section("Scheduled");
  expect(within(scheduled).getByText(/not before/)).toBeVisible();
  expect(within(scheduled).getByText(/after forerunner, which is failed/)).toBeVisible();
  expect(within(scheduled).queryByRole("button", { name: /^Move / })).toBeNull();
});
