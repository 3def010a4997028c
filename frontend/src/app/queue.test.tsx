/** The queue page as a whole: search, several jobs at once, pauses, alarms, the machine. */

import { act, screen, waitFor, within } from "@testing-library/react";
import { jobSummary, loadSample, queueState, system, trashEntry, wholeJob } from "@tests/examples";
import { namesIn, openPage, section, streamed, waitingJob } from "@tests/page";
import { jobsOf, pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system/load", () => ({ interval_seconds: 3, items: [] }));
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
  const user = openPage();
  expect(await namesIn("Finished")).toEqual(["ink-fox", "lake"]);
  await user.type(screen.getByRole("searchbox", { name: "Search by name" }), "ink");
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["ink-fox"]));
  expect(window.location.search).toBe("?search=ink");
  expect(await screen.findByText("1 job found.")).toHaveAttribute("aria-live");
  expect(screen.queryByRole("region", { name: "Waiting" })).toBeNull();
  await streamed(server, "job", jobSummary({ id: 3, training_name: "other" }), 3);
  expect(screen.queryByText("other")).toBeNull();
  await streamed(server, "job", jobSummary({ id: 4, training_name: "Pinkish" }), 4);
  expect(await screen.findByText("Pinkish")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Show all jobs" }));
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["ink-fox", "lake"]));
});

test("the search box says the search in force, whichever link led to it", async () => {
  new SmallServer().on("GET /api/jobs", jobsOf(waitingJob(1, 1)));
  const user = openPage("/");
  const field = await screen.findByRole("searchbox", { name: "Search by name" });
  await user.type(field, "ink ");
  await waitFor(() => expect(window.location.search).toBe("?search=ink"));
  expect(field).toHaveValue("ink ");
  await user.click(screen.getByRole("link", { name: "Queue" }));
  await waitFor(() => expect(field).toHaveValue(""));
  expect(window.location.search).toBe("");
  await user.type(field, "fox");
  await waitFor(() => expect(window.location.search).toBe("?search=fox"));
  await user.type(field, "es");
  await user.click(screen.getByRole("link", { name: "Queue" }));
  await waitFor(() => expect(field).toHaveValue(""));
  expect(window.location.search).toBe("");
});

test("a search that found nothing is no first visit once it is taken back", async () => {
  const all = [jobSummary({ id: 1, training_name: "lake", status: "completed" })];
  let answer = () => {};
  server.on("GET /api/jobs", ({ query }) => {
    if (query.get("search") === "z") {
      return { items: [], next: null };
    }
    return new Promise((resolve) => {
      const before = answer;
      const found = all.filter(({ status }) => query.getAll("status").includes(status));
      answer = () => {
        before();
        resolve({ items: found, next: null });
      };
    });
  });
  const user = openPage("/?search=z");
  expect(await screen.findByText("No job is like that.")).toBeVisible();
  const field = screen.getByRole("searchbox", { name: "Search by name" });
  await user.clear(field);
  await waitFor(() => expect(window.location.search).toBe(""));
  expect(screen.queryByRole("heading", { name: "Teach FLUX.2 your own style" })).toBeNull();
  expect(field).toHaveFocus();
  await act(async () => answer());
  expect(await namesIn("Finished")).toEqual(["lake"]);
});

test("the list is narrowed by state and by model, from the figures on top as well", async () => {
  const all = [
    jobSummary({ id: 1, training_name: "small", status: "completed" }),
    jobSummary({ id: 2, training_name: "large", status: "failed", architecture: "flux2-dev" }),
  ];
  server
    .on("GET /api/queue", () =>
      queueState({ num_jobs: { completed: 1, failed: 1 }, architectures: ["flux2-dev", "tiny"] }),
    )
    .on("GET /api/jobs", ({ query }) => ({
      items: all.filter(
        ({ status, architecture }) =>
          query.getAll("status").includes(status) &&
          [null, architecture].includes(query.get("architecture")),
      ),
      next: null,
    }));
  const user = openPage();
  expect(await namesIn("Finished")).toEqual(["small", "large"]);
  await user.selectOptions(await screen.findByLabelText("Architecture"), "tiny");
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["small"]));
  await user.click(screen.getByRole("button", { name: "Show all jobs" }));
  await user.click(await screen.findByRole("button", { name: "1 failed" }));
  await waitFor(async () => expect(await namesIn("Finished")).toEqual(["large"]));
  expect(window.location.search).toBe("?state=failed");
});

test("what is counted as running is what a click on it shows, a job that starts among it", async () => {
  server
    .on("GET /api/queue", () =>
      queueState({ num_jobs: { starting: 1, stopping: 1, completed: 1 } }),
    )
    .on(
      "GET /api/jobs",
      jobsOf(
        jobSummary({ id: 1, training_name: "first", status: "starting" }),
        jobSummary({ id: 2, training_name: "second", status: "stopping" }),
        jobSummary({ id: 3, training_name: "third", status: "completed" }),
      ),
    );
  const user = openPage();
  await user.click(await screen.findByRole("button", { name: "2 running" }));
  expect(await screen.findByText("2 jobs found.")).toBeInTheDocument();
  expect((await namesIn("Running")).toSorted()).toEqual(["first", "second"]);
  expect(screen.queryByText("third")).toBeNull();
  expect(window.location.search).toBe("?state=active");
  expect(screen.getByLabelText("State")).toHaveDisplayValue("Under way (2)");
  const moved = jobSummary({ id: 1, training_name: "first", status: "completed" });
  await streamed(server, "job", moved, 4);
  await waitFor(async () => expect(await namesIn("Running")).toEqual(["second"]));
});

test("the title counts the jobs that wait, not the rows that were fetched of them", async () => {
  const waiting = Array.from({ length: 60 }, (_, place) => waitingJob(place + 1, place + 1));
  server
    .on("GET /api/queue", () => queueState({ num_jobs: { queued: 60 } }))
    .on("GET /api/jobs", (request) =>
      request.query.get("scheduled") === "true" ? pageOf() : jobsOf(...waiting)(request),
    );
  openPage();
  await waitFor(() => expect(document.title).toBe("60 waiting — Queue · Darkroom"));
});

test("a job at work says how far it is, how fast, and when it ends, with its last sample", async () => {
  const thumbnail_url = "/api/jobs/1/samples/7/thumbnail?v=7";
  server.on("GET /api/jobs", jobsOf(jobSummary({ thumbnail_url })));
  openPage();
  const card = within(await section("Running")).getByRole("article");
  const figures = () =>
    Object.fromEntries(
      within(card)
        .getAllByRole("term")
        .map((term) => [term.textContent, term.nextElementSibling?.textContent]),
    );
  const { Step: step, "Step time": pace, "Time left": left, Finishes: end } = figures();
  expect([step, pace, left]).toEqual(["120 / 300", "310 ms", "1 min 12 s"]);
  expect(end).not.toBe("–");
  expect(card.querySelector("img")).toHaveAttribute("src", thumbnail_url);
  const now = { step: 270, eta_seconds: 9, updated_at: "2026-01-31T20:18:10Z" };
  await streamed(server, "job", jobSummary({ thumbnail_url, ...now }), 4);
  await waitFor(() => expect(figures().Step).toBe("270 / 300"));
  expect(figures()["Time left"]).toBe("9 s");
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
      .on("POST /api/jobs/1/queue", () => wholeJob(waitingJob(1, 1)))
      .on("POST /api/jobs/2/queue", () => new Refusal(422, [problem("bad", "No dataset.")]))
      .on("POST /api/jobs/3/queue", () => wholeJob(waitingJob(3, 2)));
    const user = openPage();
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
    const user = openPage();
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

  test("one that cannot come back keeps no other in the trash", async () => {
    const trash = [1, 2].map((id) => trashEntry({ id: `entry-${id}`, training_name: `job-${id}` }));
    server
      .on("DELETE /api/jobs/1", () => undefined)
      .on("DELETE /api/jobs/2", () => undefined)
      .on("GET /api/trash", () => ({ items: trash, next: null }))
      .on(
        "POST /api/trash/entry-1/restore",
        () => new Refusal(409, [problem("name_taken", "The name job-1 is taken.")]),
      )
      .on("POST /api/trash/entry-2/restore", () => ({ job_id: 12 }));
    const user = openPage();
    await user.click(await screen.findByRole("checkbox", { name: "Choose job-1" }));
    await user.click(screen.getByRole("checkbox", { name: "Choose job-2" }));
    await user.click(screen.getByRole("button", { name: "Delete 2" }));
    await user.click(await screen.findByRole("checkbox", { name: /Also move/ }));
    await user.click(screen.getByRole("button", { name: "Delete 2 jobs" }));
    await user.click(await screen.findByRole("button", { name: "Undo" }));
    expect(await screen.findByText("1 job brought back, 1 not")).toBeVisible();
    expect(screen.getByText("The name job-1 is taken.")).toBeVisible();
    expect(server.asked("POST /api/trash/entry-2/restore")).toHaveLength(1);
  });

  test("a job removed without its files is found again in its folder", async () => {
    server
      .on("DELETE /api/jobs/2", () => undefined)
      .on("GET /api/trash", () => ({ items: [], next: null }))
      .on("POST /api/system/rescan", () => ({}));
    const user = openPage();
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
  const user = openPage();
  await user.click(await screen.findByRole("button", { name: "Pause the queue" }));
  expect(await screen.findByRole("button", { name: "Resume the queue" })).toBeVisible();
  expect(server.asked("POST /api/queue/pause")[0]?.body).toEqual({ device: "all" });
  await streamed(server, "queue", { paused: [] }, 5);
  expect(await screen.findByRole("button", { name: "Pause the queue" })).toBeVisible();
});

test("an alarm stands on the job's card with its cause, and is said", async () => {
  server.on("GET /api/jobs", jobsOf(jobSummary()));
  openPage();
  await section("Running");
  const alarm = {
    ...problem("slow_steps", "Steps take 6.4 s."),
    hint: "The card is hot.",
    severity: "warning" as const,
    params: { active: true, began_at: "2026-01-31T20:17:10Z" },
  };
  const later = { updated_at: "2026-01-31T20:18:00Z" };
  await streamed(server, "alarm", { job_id: 1, run: 1, ...alarm, active: true }, 5);
  await streamed(server, "job", jobSummary({ ...later, alarms: [alarm] }), 6);
  expect(await screen.findByText("Steps take 6.4 s.")).toBeVisible();
  expect(screen.getByText(/The card is hot\./)).toBeVisible();
  expect(screen.getByText("ink-portraits: Steps take 6.4 s.")).toHaveAttribute("aria-live");
  await streamed(server, "job", jobSummary({ ...later, alarms: [] }), 7);
  await waitFor(() => expect(screen.queryByText(/The card is hot\./)).toBeNull());
});

test("devices show the last minutes at once and the next sample when it comes", async () => {
  const gib = 1024 ** 3;
  server.on("GET /api/system/load", () => ({
    interval_seconds: 3,
    items: [loadSample(0, 4 * gib), loadSample(3, 5 * gib)],
  }));
  openPage();
  expect(await screen.findByText("5.0 GiB of 16 GiB")).toBeVisible();
  expect(
    screen.getByRole("img", { name: /Memory of Test CPU .* 5.0 GiB now, 5.0 GiB at most/ }),
  ).toBeVisible();
  await streamed(server, "load", loadSample(6, 3 * gib), 5);
  expect(await screen.findByText("3.0 GiB of 16 GiB")).toBeVisible();
  await streamed(server, "load", loadSample(9, null), 6);
  expect(await screen.findByText("– of 16 GiB")).toBeVisible();
});

test("a tab that was hidden counts anew, and its load has no gap", async () => {
  server
    .on("GET /api/jobs", jobsOf(jobSummary()))
    .on("GET /api/queue", () => queueState({ num_jobs: { running: 1 } }));
  openPage();
  expect(await screen.findByRole("button", { name: "1 running" })).toBeVisible();
  await streamed(server, "load", loadSample(6, 1024), 5);

  const seen = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  await act(async () => document.dispatchEvent(new Event("visibilitychange")));
  server.on("GET /api/queue", () => queueState({ num_jobs: { completed: 1 } }));
  const loads = server.asked("GET /api/system/load").length;
  seen.mockReturnValue("visible");
  await act(async () => document.dispatchEvent(new Event("visibilitychange")));

  // No event of the move: the lists of a hidden tab are fetched twice a minute and know it already.
  expect(await screen.findByRole("button", { name: "1 completed" })).toBeVisible();
  expect(server.asked("GET /api/system/load").length).toBe(loads + 1);
  seen.mockRestore();
});

test("the window's title and icon say how the work stands", async () => {
  const icon = document.createElement("link");
  icon.rel = "icon";
  icon.href = "/favicon.svg";
  document.head.append(icon);
  server.on("GET /api/jobs", jobsOf(jobSummary()));
  openPage();
  await waitFor(() => expect(document.title).toBe("▶ 40 % — Queue · Darkroom"));
  expect(decodeURIComponent(icon.href)).toContain("<svg");
  const end = { finished_at: "2026-01-31T20:30:00Z", updated_at: "2026-01-31T20:30:00Z" };
  await streamed(server, "job", jobSummary({ ...end, status: "failed" }), 5);
  await waitFor(() => expect(document.title).toBe("✕ Failed — Queue · Darkroom"));
  icon.remove();
});
