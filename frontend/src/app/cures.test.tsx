/** Jobs that ended too early: what helps, and going on from a step. */

import { screen, waitFor, within } from "@testing-library/react";
import {
  failure,
  failureCure,
  jobSummary,
  queueState,
  syntheticSchema,
  system,
  wholeJob,
} from "@tests/examples";
import { namesIn, openPage, waitingJob } from "@tests/page";
import { jobsOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";

let server: SmallServer;

class EverythingInSight {
  constructor(private readonly told: (entries: { isIntersecting: boolean }[]) => void) {}
  observe() {
    this.told([{ isIntersecting: true }]);
  }
  unobserve() {}
  disconnect() {}
}

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/job-schema", () => syntheticSchema)
    .on("GET /api/system/load", () => ({ interval_seconds: 3, items: [] }));
});

test("a dialog that is closed gives the focus back, from its first use on", async () => {
  server.on("GET /api/jobs/1", () =>
    wholeJob({ status: "stopped", resumable_from_steps: [50, 100] }),
  );
  const user = openPage("/jobs/1");
  const choose = await screen.findByRole("button", { name: "Go on from a step…" });
  for (const _ of ["first", "second"]) {
    choose.focus();
    await user.keyboard("{Enter}");
    await screen.findByLabelText("Step");
    await user.keyboard("{Escape}");
    await waitFor(() => expect(choose).toHaveFocus());
  }
});

test("a job goes on from the step that was chosen", async () => {
  const stopped = wholeJob({ status: "stopped", resumable_from_steps: [50, 100] });
  server
    .on("GET /api/jobs/1", () => stopped)
    .on("POST /api/jobs/1/queue", () => wholeJob(waitingJob(1, 1)));
  const user = openPage("/jobs/1");
  await user.click(await screen.findByRole("button", { name: "Go on from a step…" }));
  const choice = await screen.findByLabelText("Step");
  expect(choice).toHaveValue("100");
  await user.selectOptions(choice, "50");
  await user.click(screen.getByRole("button", { name: "Queue" }));
  await waitFor(() => expect(server.asked("POST /api/jobs/1/queue")).toHaveLength(1));
  expect(server.asked("POST /api/jobs/1/queue")[0]?.body).toEqual({ resume_from_step: 50 });
});

describe("a failed job in the list", () => {
  const failed = jobSummary({
    status: "failed",
    finished_at: "2026-01-31T20:30:00Z",
    error: problem("out_of_memory", "The device has no memory left."),
    likely_cause: "Another program held a part of it.",
  });
  beforeEach(() => {
    server.on("GET /api/jobs", jobsOf(failed)).on("GET /api/jobs/1/failure", () =>
      failure({
        cures: [
          failureCure({ settings: { "kitchen.guests": 6 } }),
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

  test("in sight shows its likely cause and the first cure, which one press applies", async () => {
    const before = globalThis.IntersectionObserver;
    onTestFinished(() => void vi.stubGlobal("IntersectionObserver", before));
    vi.stubGlobal("IntersectionObserver", EverythingInSight);
    server.on("POST /api/jobs/1/cures/resolutions-5f0c", () => wholeJob(waitingJob(1, 1)));
    const user = openPage();
    expect(
      await screen.findByText("Likely cause: Another program held a part of it."),
    ).toBeVisible();
    const name = "Do this and queue: Lower Resolutions to at most 896";
    await user.click(await screen.findByRole("button", { name }));
    await waitFor(() =>
      expect(server.asked("POST /api/jobs/1/cures/resolutions-5f0c")).toHaveLength(1),
    );
  });

  test("says what helps when it is asked, and one click changes and queues it", async () => {
    server.on("POST /api/jobs/1/cures/resolutions-5f0c", () =>
      wholeJob({ ...waitingJob(1, 1), training_name: "ink-portraits" }),
    );
    const user = openPage();
    expect(await screen.findByText("Training: The device has no memory left.")).toBeVisible();
    expect(server.asked("GET /api/jobs/1/failure")).toHaveLength(0);
    await user.click(screen.getByRole("button", { name: "What helps" }));
    const cures = await screen.findByRole("list", { name: "What helps" });
    expect(within(cures).getByText(/25 GiB → 23 GiB of 24 GiB, fits\./)).toBeVisible();
    expect(within(cures).getByText(/Goes on from step 100\./)).toBeVisible();
    expect(await within(cures).findByText("Kitchen › Guests: 6")).toBeVisible();
    await user.click(
      within(cures).getByRole("button", { name: /^Do this and queue: Lower Resolutions/ }),
    );
    expect(await screen.findByText("ink-portraits was changed and is in the queue.")).toBeVisible();
    expect(await namesIn("Waiting")).toEqual(["ink-portraits"]);
  });

  test("leads to the new job where a change does not fit what was trained", async () => {
    const copy = wholeJob({ ...waitingJob(7, 1), training_name: "ink-portraits-2" });
    server.on("POST /api/jobs/1/cures/four-bit", () => copy).on("GET /api/jobs/7", () => copy);
    const user = openPage();
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
    const user = openPage();
    await user.click(await screen.findByRole("button", { name: "What helps" }));
    await user.click(await screen.findByRole("button", { name: /Lower Resolutions/ }));
    expect(await screen.findByText(/It is no cure any more\./)).toBeVisible();
    await waitFor(() => expect(server.asked("GET /api/jobs/1/failure")).toHaveLength(2));
  });
});
