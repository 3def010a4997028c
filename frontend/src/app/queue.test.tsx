/** The queue page as a whole: order, search, several jobs at once, pauses, alarms, the machine. */

import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import {
  failure,
  failureCure,
  jobSummary,
  loadSample,
  queueState,
  system,
  trashEntry,
  wholeJob,
} from "@tests/examples";
import { jobsOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test } from "vitest";
import type { JobSummary } from "@/api/types";
import { App } from "./app";

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system/load", () => ({ interval_seconds: 3, items: [] }));
});

function open(path = "/") {
  window.history.replaceState(null, "", path);
  render(<App env="test" />);
  return userEvent.setup();
}

async function streamed(event: string, data: object, id: number) {
  await waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
  await act(async () => server.stream.send(event, data, id));
}

const waiting = (id: number, queue_position: number, changes: Partial<JobSummary> = {}) =>
  jobSummary({
    id,
    training_name: `job-${id}`,
    status: "queued",
    queue_position,
    waits_for: "device",
    started_at: null,
    ...changes,
  });

const section = (name: string) => screen.findByRole("region", { name });
const namesIn = async (name: string) =>
  within(await section(name))
    .getAllByRole("heading", { level: 3 })
    .map((heading) => heading.textContent);

describe("the order of the waiting jobs", () => {
  beforeEach(() => {
    const jobs = [waiting(1, 1), waiting(2, 2), waiting(3, 3)];
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
    const user = open();
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
    const user = open();
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

  test("goes back to the server's when the server refuses", async () => {
    server.on(
      "POST /api/jobs/2/move",
      () => new Refusal(409, [problem("wrong_state", "job-2 is running.")]),
    );
    const user = open();
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
    waiting(4, 3, { waits_for: "time", not_before: "2031-05-06T21:00:00Z" }),
    waiting(5, 4, { waits_for: "job", run_after_job_id: 9 }),
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
          items: [waiting(1, 1, { priority: 1 }), waiting(2, 2, { waits_for: "pause" })],
          next: null,
        };
  });
  open();
  expect(await namesIn("Waiting")).toEqual(["job-1High priority", "job-2"]);
  const free = await section("Waiting");
  expect(within(free).getByText(/waits for a free device/)).toBeVisible();
  expect(within(free).getByText(/the queue is paused/)).toBeVisible();
  const scheduled = await section("Scheduled");
  expect(within(scheduled).getByText(/not before/)).toBeVisible();
  expect(within(scheduled).getByText(/after forerunner, which is failed/)).toBeVisible();
  expect(within(scheduled).queryByRole("button", { name: /^Move / })).toBeNull();
});

test("a search asks the server, stays in the address, and keeps what the stream brings out of it", async () => {
  const all = [
    jobSummary({ id: 1, training_name: "ink-fox", status: "completed" }),
    jobSummary({ id: 2, training_name: "lake", status: "completed" }),
  ];
  server.on("GET /api/jobs", ({ query }) => ({
    items: all.filter(
      ({ status, training_name }) =>
        query.getAll("status").includes(status) &&
        training_name.includes(query.get("search") ?? ""),
    ),
    next: null,
  }));
  const user = open();
  expect(await namesIn("Finished")).toEqual(["ink-fox", "lake"]);
  await user.type(screen.getByRole("searchbox", { name: "Search by name" }), "ink");
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["ink-fox"]));
  expect(window.location.search).toBe("?search=ink");
  expect(await screen.findByText("1 job found.")).toHaveAttribute("aria-live");
  expect(screen.queryByRole("region", { name: "Waiting" })).toBeNull();
  await streamed("job", jobSummary({ id: 3, training_name: "other" }), 3);
  expect(screen.queryByText("other")).toBeNull();
  await streamed("job", jobSummary({ id: 4, training_name: "Pinkish" }), 4);
  expect(await screen.findByText("Pinkish")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Show all jobs" }));
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["ink-fox", "lake"]));
});

describe("several jobs at once", () => {
  const jobs = [1, 2, 3].map((id) =>
    jobSummary({
      id,
      training_name: `job-${id}`,
      status: "stopped",
      finished_at: `2026-01-31T20:1${9 - id}:00Z`,
    }),
  );
  beforeEach(() => {
    server.on("GET /api/jobs", jobsOf(...jobs));
  });

  test("are queued in the order of the page; what is refused is said and stays chosen", async () => {
    server
      .on("POST /api/jobs/1/queue", () => wholeJob(waiting(1, 1)))
      .on("POST /api/jobs/2/queue", () => new Refusal(422, [problem("bad", "No dataset.")]))
      .on("POST /api/jobs/3/queue", () => wholeJob(waiting(3, 2)));
    const user = open();
    await user.click(
      await screen.findByRole("checkbox", { name: "Choose all jobs shown under Finished" }),
    );
    const bar = await screen.findByRole("region", { name: "What to do with the chosen jobs" });
    expect(within(bar).getByText("3 jobs chosen")).toBeVisible();
    await user.click(within(bar).getByRole("button", { name: "Queue 3" }));
    expect(await screen.findByText("1 of 3 jobs could not be changed")).toBeVisible();
    expect(screen.getByText(/job-2: No dataset\./)).toBeVisible();
    const asked = server.requests.filter(({ path }) => path.endsWith("/queue"));
    expect(asked.filter(({ method }) => method === "POST").map(({ path }) => path)).toEqual([
      "/api/jobs/1/queue",
      "/api/jobs/2/queue",
      "/api/jobs/3/queue",
    ]);
    await waitFor(() => expect(within(bar).getByText("1 job chosen")).toBeVisible());
    expect(screen.getByRole("checkbox", { name: "Choose job-2" })).toBeChecked();
  });

  test("are deleted after a question, and one button brings them back", async () => {
    let trash = [trashEntry({ id: "older", training_name: "job-1" })];
    for (const id of [1, 2]) {
      server.on(`DELETE /api/jobs/${id}`, () => {
        trash = [trashEntry({ id: `entry-${id}`, training_name: `job-${id}` }), ...trash];
        return undefined;
      });
      server.on(`POST /api/trash/entry-${id}/restore`, () => ({ job_id: 10 + id }));
    }
    server.on("GET /api/trash", () => ({ items: trash, next: null }));
    const user = open();
    await user.click(await screen.findByRole("checkbox", { name: "Choose job-1" }));
    await user.click(screen.getByRole("checkbox", { name: "Choose job-2" }));
    await user.click(screen.getByRole("button", { name: "Delete 2" }));
    await user.click(await screen.findByRole("checkbox", { name: /Also move/ }));
    await user.click(screen.getByRole("button", { name: "Delete 2 jobs" }));
    await user.click(await screen.findByRole("button", { name: "Undo" }));
    expect(await screen.findByText("2 jobs brought back.")).toBeVisible();
    expect(server.asked("POST /api/trash/entry-1/restore")).toHaveLength(1);
    expect(server.asked("POST /api/trash/entry-2/restore")).toHaveLength(1);
  });

  test("a job removed without its files is found again in its folder", async () => {
    server
      .on("DELETE /api/jobs/2", () => undefined)
      .on("GET /api/trash", () => ({ items: [], next: null }))
      .on("POST /api/system/rescan", () => ({}));
    const user = open();
    await user.click(await screen.findByRole("button", { name: "More actions for job-2" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
    await user.click(await screen.findByRole("button", { name: "Delete job" }));
    await user.click(await screen.findByRole("button", { name: "Undo" }));
    await waitFor(() => expect(server.asked("POST /api/system/rescan")).toHaveLength(1));
    expect(server.asked("POST /api/system/rescan")[0]?.query.get("only")).toBe("job-2");
  });
});

test("the queue is paused and resumed, by this page or by another", async () => {
  server
    .on("GET /api/jobs", jobsOf(jobSummary()))
    .on("POST /api/queue/pause", () => queueState({ paused: ["all"] }));
  const user = open();
  await user.click(await screen.findByRole("button", { name: "Pause the queue" }));
  expect(await screen.findByRole("button", { name: "Resume the queue" })).toBeVisible();
  expect(server.asked("POST /api/queue/pause")[0]?.body).toEqual({ device: "all" });
  await streamed("queue", { paused: [] }, 5);
  expect(await screen.findByRole("button", { name: "Pause the queue" })).toBeVisible();
});

test("an alarm stands on the job's card with its cause, and is said", async () => {
  server.on("GET /api/jobs", jobsOf(jobSummary()));
  open();
  await section("Running");
  const alarm = {
    ...problem("slow_steps", "Steps take 6.4 s."),
    hint: "The card is hot.",
    severity: "warning" as const,
    params: { active: true, began_at: "2026-01-31T20:17:10Z" },
  };
  const later = { updated_at: "2026-01-31T20:18:00Z" };
  await streamed("alarm", { job_id: 1, run: 1, ...alarm, active: true }, 5);
  await streamed("job", jobSummary({ ...later, alarms: [alarm] }), 6);
  expect(await screen.findByText("Steps take 6.4 s.")).toBeVisible();
  expect(screen.getByText(/The card is hot\./)).toBeVisible();
  expect(screen.getByText("ink-portraits: Steps take 6.4 s.")).toHaveAttribute("aria-live");
  await streamed("job", jobSummary({ ...later, alarms: [] }), 7);
  await waitFor(() => expect(screen.queryByText(/The card is hot\./)).toBeNull());
});

test("devices show the last minutes at once and the next sample when it comes", async () => {
  const gib = 1024 ** 3;
  server.on("GET /api/system/load", () => ({
    interval_seconds: 3,
    items: [loadSample(0, 4 * gib), loadSample(3, 5 * gib)],
  }));
  open();
  expect(await screen.findByText("5.0 GiB of 16 GiB")).toBeVisible();
  expect(
    screen.getByRole("img", { name: /Memory of Test CPU .* 5.0 GiB now, 5.0 GiB at most/ }),
  ).toBeVisible();
  await streamed("load", loadSample(6, 3 * gib), 5);
  expect(await screen.findByText("3.0 GiB of 16 GiB")).toBeVisible();
  await streamed("load", loadSample(9, null), 6);
  expect(await screen.findByText("– of 16 GiB")).toBeVisible();
});

test("the window's title and icon say how the work stands", async () => {
  const icon = document.createElement("link");
  icon.rel = "icon";
  icon.href = "/favicon.svg";
  document.head.append(icon);
  server.on("GET /api/jobs", jobsOf(jobSummary()));
  open();
  await waitFor(() => expect(document.title).toBe("▶ 40 % — Queue · Darkroom"));
  expect(decodeURIComponent(icon.href)).toContain("<svg");
  const end = { finished_at: "2026-01-31T20:30:00Z", updated_at: "2026-01-31T20:30:00Z" };
  await streamed("job", jobSummary({ ...end, status: "failed" }), 5);
  await waitFor(() => expect(document.title).toBe("✕ Failed — Queue · Darkroom"));
  icon.remove();
});

test("a job goes on from the step that was chosen", async () => {
  const stopped = wholeJob({ status: "stopped", resumable_from_steps: [50, 100] });
  server
    .on("GET /api/jobs/1", () => stopped)
    .on("POST /api/jobs/1/queue", () => wholeJob(waiting(1, 1)));
  const user = open("/jobs/1");
  await user.click(await screen.findByRole("button", { name: "Go on from a step…" }));
  const choice = await screen.findByLabelText("Step");
  expect(choice).toHaveValue("100");
  await user.selectOptions(choice, "50");
  await user.click(screen.getByRole("button", { name: "Queue" }));
  await waitFor(() => expect(server.asked("POST /api/jobs/1/queue")).toHaveLength(1));
  expect(server.asked("POST /api/jobs/1/queue")[0]?.body).toEqual({ resume_from_step: 50 });
});

describe("the trash", () => {
  beforeEach(() => {
    server.on("GET /api/trash", () => ({
      items: [
        trashEntry(),
        trashEntry({ id: "two", kind: "checkpoint", training_name: "lake", step: 250 }),
      ],
      next: null,
    }));
  });

  test("gives things back", async () => {
    server.on("POST /api/trash/two/restore", () => ({ job_id: 4 }));
    const user = open("/trash");
    await user.click(
      await screen.findByRole("button", { name: "Restore lake, checkpoint of step 250" }),
    );
    expect(await screen.findByText("lake is back.")).toBeVisible();
  });

  test("removes for good only after a question, and says what was refused", async () => {
    server.on(
      "DELETE /api/trash/ink-portraits-20260131",
      () => new Refusal(404, [problem("not_in_trash", "It was restored.")]),
    );
    const user = open("/trash");
    await user.click(await screen.findByRole("button", { name: "Remove for good: ink-portraits" }));
    expect(server.asked("DELETE /api/trash/ink-portraits-20260131")).toHaveLength(0);
    await user.click(await screen.findByRole("button", { name: "Remove for good" }));
    expect(await screen.findByText(/It was restored\./)).toBeVisible();
  });
});

test("hooks say what became of their notices, and a test is sent and followed", async () => {
  const delivery = {
    id: 1,
    target: "webhook",
    event: "test",
    job_id: null,
    created_at: "2026-01-31T20:15:00Z",
    attempts: 1,
    error: null as string | null,
    next_try_at: null,
    settled_at: null as string | null,
  };
  let deliveries = [] as (typeof delivery)[];
  server
    .on("GET /api/hooks", () => ({
      webhook_set: true,
      command_set: false,
      events: ["failed"],
      deliveries,
    }))
    .on("POST /api/hooks/test", () => {
      deliveries = [delivery];
      return { num_hooks: 1 };
    });
  const user = open("/system");
  const hooks = await section("Hooks");
  expect(await within(hooks).findByText("Nothing has been told yet.")).toBeVisible();
  await user.click(within(hooks).getByRole("button", { name: "Send a test" }));
  await streamed("hooks", {}, 5);
  expect(await within(hooks).findByText("On its way")).toBeVisible();
  deliveries = [{ ...delivery, settled_at: "2026-01-31T20:15:01Z", error: "404 Not Found" }];
  await streamed("hooks", {}, 6);
  expect(await within(hooks).findByText("Given up")).toBeVisible();
  expect(within(hooks).getByText("404 Not Found")).toBeVisible();
});

describe("a failed job in the list", () => {
  const failed = jobSummary({
    status: "failed",
    finished_at: "2026-01-31T20:30:00Z",
    error: problem("out_of_memory", "The device has no memory left."),
  });
  beforeEach(() => {
    server.on("GET /api/jobs", jobsOf(failed)).on("GET /api/jobs/1/failure", () =>
      failure({
        cures: [
          failureCure(),
          failureCure({
            key: "four-bit",
            title: "Train in 4 bits",
            settings: {},
            is_new_job: true,
            goes_on_from_step: null,
            effect: null,
          }),
        ],
      }),
    );
  });

  test("says what helps when it is asked, and one click changes and queues it", async () => {
    server.on("POST /api/jobs/1/cures/resolutions-5f0c", () =>
      wholeJob({ ...waiting(1, 1), training_name: "ink-portraits" }),
    );
    const user = open();
    expect(await screen.findByText("Training: The device has no memory left.")).toBeVisible();
    expect(server.asked("GET /api/jobs/1/failure")).toHaveLength(0);
    await user.click(screen.getByRole("button", { name: "What helps" }));
    const cures = await screen.findByRole("list", { name: "What helps" });
    expect(within(cures).getByText(/25 GiB → 23 GiB of 24 GiB, fits\./)).toBeVisible();
    expect(within(cures).getByText(/Goes on from step 100\./)).toBeVisible();
    expect(within(cures).getByText("datasets.0.resolutions = [768,896]")).toBeVisible();
    await user.click(
      within(cures).getByRole("button", { name: /^Do this and queue: Lower Resolutions/ }),
    );
    expect(await screen.findByText("ink-portraits was changed and is in the queue.")).toBeVisible();
    expect(await namesIn("Waiting")).toEqual(["ink-portraits"]);
  });

  test("leads to the new job where a change does not fit what was trained", async () => {
    const copy = wholeJob({ ...waiting(7, 1), training_name: "ink-portraits-2" });
    server.on("POST /api/jobs/1/cures/four-bit", () => copy).on("GET /api/jobs/7", () => copy);
    const user = open();
    await user.click(await screen.findByRole("button", { name: "What helps" }));
    await user.click(await screen.findByRole("button", { name: /Train in 4 bits/ }));
    expect(await screen.findByRole("heading", { name: "ink-portraits-2" })).toBeVisible();
    expect(window.location.pathname).toBe("/jobs/7");
  });

  test("whose cure is not offered any more says so and looks again", async () => {
    server.on(
      "POST /api/jobs/1/cures/resolutions-5f0c",
      () => new Refusal(409, [problem("cure_not_offered", "It is no cure any more.")]),
    );
    const user = open();
    await user.click(await screen.findByRole("button", { name: "What helps" }));
    await user.click(await screen.findByRole("button", { name: /Lower Resolutions/ }));
    expect(await screen.findByText(/It is no cure any more\./)).toBeVisible();
    await waitFor(() => expect(server.asked("GET /api/jobs/1/failure")).toHaveLength(2));
  });
});
