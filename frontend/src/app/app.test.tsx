import { act, screen, waitFor, within } from "@testing-library/react";
import {
  checkpoint,
  command,
  failure,
  jobSummary,
  measurement,
  metric,
  queueState,
  sample,
  syntheticSchema,
  system,
  wholeJob,
} from "@tests/examples";
import { openPage, streamed } from "@tests/page";
import { jobsOf, pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { JobSummary } from "@/api/types";

// The drawn curve needs a canvas, which the browser tests have; its words are checked here.
vi.mock("@/features/jobs/curve-chart", () => ({
  default: ({ label }: { label: string }) => <div role="img" aria-label={label} />,
}));

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system", () => system)
    .on("GET /api/job-schema", () => ({ ...syntheticSchema, example: syntheticSchema.defaults }))
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }));
});

describe("the queue", () => {
  test("explains itself in three steps when nothing was ever trained, and offers the example", async () => {
    openPage("/");
    expect(
      await screen.findByRole("heading", { name: "Teach FLUX.2 your own style" }),
    ).toBeVisible();
    expect(screen.getAllByRole("listitem").length).toBeGreaterThanOrEqual(3);
    expect(await screen.findByRole("link", { name: "Open the example job" })).toHaveAttribute(
      "href",
      "/jobs/new?from=example",
    );
  });

  test("says what the example lacks where its pictures are not here", async () => {
    const example = { ...syntheticSchema.defaults, datasets: [{ target_dataset: "tiny-hatch" }] };
    server
      .on("GET /api/job-schema", () => ({ ...syntheticSchema, example }))
      .on("GET /api/datasets", () => pageOf());
    openPage("/");
    expect(await screen.findByText(/copy tiny-hatch from the folder datasets/)).toBeVisible();
    expect(screen.queryByRole("link", { name: "Open the example job" })).toBeNull();
  });

  test("shows each job where it belongs and moves it when the stream says so", async () => {
    server.on(
      "GET /api/jobs",
      jobsOf(
        jobSummary(),
        jobSummary({ id: 2, training_name: "later", status: "queued", queue_position: 1 }),
      ),
    );
    openPage("/");
    const running = await screen.findByRole("region", { name: "Running" });
    expect(within(running).getByRole("link", { name: "ink-portraits" })).toBeVisible();
    expect(within(running).getByText("120 / 300")).toBeVisible();
    expect(
      within(running).getByRole("progressbar", { name: "Progress of ink-portraits" }),
    ).toHaveAttribute("aria-valuenow", "40");
    expect(
      within(screen.getByRole("region", { name: "Waiting" })).getByText("later"),
    ).toBeVisible();

    const done = jobSummary({
      status: "completed",
      step: 300,
      updated_at: "2026-01-31T20:30:00Z",
      finished_at: "2026-01-31T20:30:00Z",
    });
    await streamed(server, "job", done, 5);
    const finished = screen.getByRole("region", { name: "Finished" });
    expect(await within(finished).findByText("ink-portraits")).toBeVisible();
    expect(screen.getByText("ink-portraits: Completed")).toHaveAttribute("aria-live", "polite");
  });

  test("shows what happened between the reading of a first answer and its arrival", async () => {
    let now = jobSummary({ status: "starting" });
    const late: (() => void)[] = [];
    server.on("GET /api/jobs", (request) => {
      const read = jobsOf(now)(request);
      return late.length < 5 ? new Promise((answer) => late.push(() => answer(read))) : read;
    });
    openPage("/");
    await waitFor(() => expect(late).toHaveLength(5));
    // Told to nobody: the stream began after it.
    now = jobSummary({ status: "failed", finished_at: "2026-01-31T20:30:00Z" });
    await streamed(server, "open", {}, 3);
    await act(async () => {
      for (const answer of late) {
        answer();
      }
    });
    const finished = await screen.findByRole("region", { name: "Finished" });
    expect(await within(finished).findByText("ink-portraits")).toBeVisible();
  });

  test("asks again only for what was answered before the stream's beginning", async () => {
    const lists = () => server.asked("GET /api/jobs").length;
    server.on("GET /api/jobs", jobsOf(jobSummary()));
    openPage("/");
    await streamed(server, "load", {}, 1);
    const running = await screen.findByRole("region", { name: "Running" });
    expect(within(running).getByText("ink-portraits")).toBeVisible();
    const asked = lists();
    expect(asked).toBeLessThanOrEqual(6);

    // As if it had begun here: something happened that the answers may not know.
    server.on("GET /api/jobs", jobsOf(jobSummary({ training_name: "renamed" })));
    await streamed(server, "open", {}, 2);
    expect(await within(running).findByText("renamed")).toBeVisible();
    expect(lists()).toBeGreaterThan(asked);
  });

  test("fetches a long list page by page, and keeps what it shows through a new fetch", async () => {
    const many = Array.from({ length: 45 }, (_, index) =>
      jobSummary({
        id: 100 - index,
        training_name: `job-${100 - index}`,
        status: "completed",
        finished_at: new Date(Date.UTC(2026, 0, 31) - index * 60_000).toISOString(),
      }),
    );
    server.on("GET /api/jobs", jobsOf(...many));
    const user = openPage("/");
    const finished = await screen.findByRole("region", { name: "Finished" });
    expect(within(finished).getAllByText("Completed")).toHaveLength(25);
    expect(within(finished).getByText("25+")).toBeVisible();

    await user.click(within(finished).getByText("Show more"));
    expect(await within(finished).findByText("job-56")).toBeVisible();
    expect(within(finished).getAllByText("Completed")).toHaveLength(45);
    expect(within(finished).getByText("45")).toBeVisible();
    expect(within(finished).queryByText("Show more")).toBeNull();

    await streamed(server, "reset", {}, 7);
    const limits = () => server.asked("GET /api/jobs").map(({ query }) => query.get("limit"));
    await waitFor(() => expect(limits()).toContain("45"));
    expect(within(finished).getAllByText("Completed")).toHaveLength(45);
  });

  test("deletes only after a confirmation and keeps the files unless asked", async () => {
    const job = jobSummary({ status: "stopped", finished_at: "2026-01-31T20:30:00Z" });
    server.on("GET /api/jobs", jobsOf(job)).on("DELETE /api/jobs/1", () => undefined);
    const user = openPage("/");
    await user.click(await screen.findByRole("button", { name: "More actions for ink-portraits" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
    expect(server.asked("DELETE /api/jobs/1")).toHaveLength(0);
    await user.click(await screen.findByRole("button", { name: "Delete job" }));
    await waitFor(() => expect(server.asked("DELETE /api/jobs/1")).toHaveLength(1));
    expect(server.asked("DELETE /api/jobs/1")[0]?.query.get("files")).not.toBe("true");
    await waitFor(() => expect(screen.queryByText("ink-portraits")).toBeNull());
  });

  test("keeps a job in sight that has to be stopped before it is deleted", async () => {
    server
      .on("GET /api/jobs", jobsOf(jobSummary()))
      .on("DELETE /api/jobs/1", () => ({ job_id: 1, status: "stopping", files: false }));
    const user = openPage("/");
    await user.click(await screen.findByRole("button", { name: "More actions for ink-portraits" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
    expect(await screen.findByText(/finishes its step, saves and stops/)).toBeVisible();
    await user.click(await screen.findByRole("button", { name: "Delete job" }));
    await waitFor(() => expect(server.asked("DELETE /api/jobs/1")).toHaveLength(1));
    expect(await screen.findByText(/is being stopped, and is deleted then/)).toBeVisible();
    expect(screen.getByText("ink-portraits")).toBeVisible();
    await streamed(server, "job_deleted", { id: 1 }, 9);
    await waitFor(() => expect(screen.queryByText("ink-portraits")).toBeNull());
  });

  test("says why a waiting job does not start when the worker is away", async () => {
    server.on("GET /api/system", () => ({
      ...system,
      worker: { alive: false, last_seen_at: null },
    }));
    openPage("/");
    expect(await screen.findByText("The worker is away")).toBeVisible();
    await streamed(server, "system", system, 8);
    await waitFor(() => expect(screen.queryByText("The worker is away")).toBeNull());
  });

  test("shows a failed panel with a way to try again, and heals", async () => {
    server.on("GET /api/jobs", () => new Refusal(500, [problem("crash", "The database is gone.")]));
    const user = openPage("/");
    expect(await screen.findByText(/The database is gone\./)).toBeVisible();
    server.on("GET /api/jobs", jobsOf(jobSummary()));
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("region", { name: "Running" })).toBeVisible();
  });
});

describe("a job's page", () => {
  beforeEach(() => {
    server
      .on("GET /api/jobs/1", () => wholeJob())
      .on("GET /api/jobs/1/metrics", () => pageOf(metric(1), metric(2)))
      .on("GET /api/jobs/1/samples", () => pageOf(sample(1, 0, 0, "a fox")))
      .on("GET /api/jobs/1/measurements", () => pageOf(measurement(0)))
      .on("GET /api/jobs/1/commands", () => pageOf())
      .on("GET /api/jobs/1/checkpoints", () => pageOf())
      .on("GET /api/jobs/1/log", ({ query }) =>
        query.get("offset") === null
          ? { items: [{ line: "first", offset: 0 }], next: "6", run: 1 }
          : { items: [{ line: "second", offset: 6 }], next: "13", run: 1 },
      );
  });

  test("says what a job waits for once its moment has come, which no event tells", async () => {
    const not_before = new Date(Date.now() + 1000).toISOString();
    let waits_for: JobSummary["waits_for"] = "time";
    const asked = () => server.asked("GET /api/jobs/1").length;
    server.on("GET /api/jobs/1", () =>
      wholeJob({ status: "queued", queue_position: 1, not_before, waits_for }),
    );
    openPage("/jobs/1");
    expect(await screen.findByText(/not before/i)).toBeVisible();
    waits_for = "device";
    expect(await screen.findByText(/free device/)).toBeVisible();
    expect(server.asked("GET /api/jobs/1/metrics").length).toBeLessThan(asked());
  });

  test("takes pictures, steps, checkpoints and log lines from the stream", async () => {
    openPage("/jobs/1");
    expect(await screen.findByRole("button", { name: "Open prompt 1, base" })).toBeVisible();
    await screen.findByText("first");
    await screen.findByRole("img", { name: /Loss 0.5 at step 2/ });

    await streamed(server, "sample", { job_id: 1, ...sample(2, 50, 0, "a fox") }, 11);
    expect(await screen.findByRole("button", { name: "Open prompt 1, step 50" })).toBeVisible();
    await streamed(server, "steps", { job_id: 1, items: [metric(4)] }, 12);
    expect(await screen.findByRole("img", { name: /Loss 0.25 at step 4/ })).toBeVisible();
    await streamed(
      server,
      "measurement",
      { job_id: 1, ...measurement(4, { validation_loss: 0.4 }) },
      15,
    );
    expect(await screen.findByRole("img", { name: /Validation 0.4 at step 4/ })).toBeVisible();
    await streamed(server, "checkpoint", { job_id: 1, ...checkpoint(50) }, 13);
    expect(
      await screen.findByRole("link", { name: "Download the LoRA of step 50" }),
    ).toHaveAttribute("href", "/api/jobs/1/checkpoints/50/file");
    await streamed(server, "log", { job_id: 1, lines: ["second"] }, 14);
    await screen.findByText("second");
    expect(screen.getByRole("log")).toHaveTextContent(/first\s+second/);
  });

  test("reads the log to its end, however much came at once", async () => {
    const lines = Array.from({ length: 1201 }, (_, index) => ({
      line: `line ${index}`,
      offset: index + 1,
    }));
    server.on("GET /api/jobs/1/log", ({ query }) => {
      const from = Number(query.get("offset") ?? lines.length);
      const to = from + Number(query.get("limit"));
      return query.get("offset") === null
        ? { items: [{ line: "first", offset: 0 }], next: "0", run: 1 }
        : { items: lines.slice(from, to), next: String(Math.min(to, lines.length)), run: 1 };
    });
    openPage("/jobs/1");
    await screen.findByText("first");
    await streamed(server, "log", { job_id: 1, lines: ["all of it, told once"] }, 11);
    await waitFor(() => expect(screen.getByRole("log")).toHaveTextContent("line 1200"));
  });

  test("says of a change of settings that it was taken, when the stream says so", async () => {
    server.on("GET /api/jobs/1/commands", () =>
      pageOf(command({ settings: { "kitchen.guests": 6 } })),
    );
    openPage("/jobs/1");
    const changes = await screen.findByRole("region", { name: "Changes while it ran" });
    expect(within(changes).getByText("Asked for, waiting for the trainer")).toBeVisible();
    const taken = command({ settings: { "kitchen.guests": 6 }, outcome: "taken", step: 130 });
    await streamed(server, "command", { job_id: 1, ...taken }, 16);
    expect(await within(changes).findByText("Taken at step 130")).toBeVisible();
    expect(within(changes).getByText("Guests")).toBeVisible();
  });

  test("walks through the pictures with the arrow keys and closes with Escape", async () => {
    server.on("GET /api/jobs/1/samples", () =>
      pageOf(
        sample(1, 0, 0, "a fox"),
        sample(2, 50, 0, "a fox"),
        sample(3, 0, 1, "a hat"),
        sample(4, 50, 1, "a hat"),
      ),
    );
    const user = openPage("/jobs/1");
    await user.click(await screen.findByRole("button", { name: "Open prompt 1, step 50" }));
    const box = await screen.findByRole("dialog", { name: "Sample" });
    expect(within(box).getByRole("img", { name: "Step 50: a fox" })).toBeVisible();
    await user.keyboard("{ArrowDown}");
    expect(within(box).getByRole("img", { name: "Step 50: a hat" })).toBeVisible();
    await user.keyboard("{ArrowLeft}");
    expect(within(box).getByRole("img", { name: "Base: a hat" })).toBeVisible();
    await user.keyboard("{ArrowLeft}{ArrowRight}{b>}");
    expect(within(box).getByRole("img", { name: "Base: a hat" })).toBeVisible();
    await user.keyboard("{/b}");
    expect(within(box).getByRole("img", { name: "Step 50: a hat" })).toBeVisible();
    await user.keyboard("{Escape}");
    await waitFor(() => expect(screen.queryByRole("dialog", { name: "Sample" })).toBeNull());
  });

  test("says of a failure where it was, why, and what to do", async () => {
    const cause = {
      ...problem("out_of_memory", "The device has no memory left."),
      hint: "Use 512 px.",
    };
    server.on("GET /api/jobs/1", () =>
      wholeJob({
        status: "failed",
        error: cause,
        resumable_from_steps: [50, 100],
        runs: [
          {
            id: 1,
            number: 1,
            status: "failed",
            started_at: "2026-01-31T20:15:02Z",
            finished_at: "2026-01-31T20:17:02Z",
            exit_code: 9,
            failure_class: "crash",
            first_step: 0,
            last_step: 120,
            device: "cpu",
            host: "studio",
            problems: [cause],
          },
        ],
      }),
    );
    server.on("GET /api/jobs/1/failure", () => failure());
    openPage("/jobs/1");
    const card = await screen.findByRole("region", { name: "The training failed" });
    for (const words of ["The device has no memory left.", "Use 512 px.", "Training", "9"]) {
      expect(await within(card).findByText(words)).toBeVisible();
    }
    expect(within(card).getByText(/Another program held a part of it\./)).toBeVisible();
    expect(within(card).getByText("Queueing it again goes on from step 100.")).toBeVisible();
    expect(await within(card).findByText("first")).toBeVisible();
  });

  test("of a deleted job is no blank page", async () => {
    server.on("GET /api/jobs/1", () => new Refusal(404, [problem("not_found", "No job 1.")]));
    openPage("/jobs/1");
    expect(await screen.findByRole("heading", { name: "Nothing here" })).toBeVisible();
  });
});

describe("the server", () => {
  test("asks for its token and opens when it is right", async () => {
    let unlocked = false;
    server
      .on("GET /api/jobs", () =>
        unlocked ? pageOf() : new Refusal(401, [problem("no_token", "A token is needed.")]),
      )
      .on("POST /api/session", ({ body }) => {
        unlocked = (body as { token: string }).token === "right";
        return unlocked ? undefined : new Refusal(401, [problem("bad_token", "Wrong.")]);
      });
    const user = openPage("/");
    await user.type(await screen.findByLabelText(/Access token/), "wrong");
    await user.click(screen.getByRole("button", { name: "Unlock" }));
    expect(await screen.findByText("This is not the token.")).toBeVisible();
    await user.clear(screen.getByLabelText(/Access token/));
    await user.type(screen.getByLabelText(/Access token/), "right");
    await user.click(screen.getByRole("button", { name: "Unlock" }));
    expect(await screen.findByRole("heading", { name: "Queue" })).toBeVisible();
  });

  test("away is said, and its return is too", async () => {
    const user = openPage("/");
    await screen.findByRole("heading", { name: "Teach FLUX.2 your own style" });
    await waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
    server.away = true;
    await act(async () => server.stream.cut());
    expect(await screen.findByRole("alert")).toHaveTextContent("The server is not answering");
    server.away = false;
    await user.click(screen.getByRole("button", { name: "Try now" }));
    await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
  });
});
