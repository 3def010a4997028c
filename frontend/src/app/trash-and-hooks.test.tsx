/** What was deleted, and who is told of what. */

import { screen, within } from "@testing-library/react";
import { queueState, system, trashEntry } from "@tests/examples";
import { openPage, section, streamed } from "@tests/page";
import { jobsOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test } from "vitest";

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system/load", () => ({ interval_seconds: 3, items: [] }));
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
    const user = openPage("/trash");
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
    const user = openPage("/trash");
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
  const user = openPage("/system");
  const hooks = await section("Hooks");
  expect(await within(hooks).findByText("Nothing has been told yet.")).toBeVisible();
  await user.click(within(hooks).getByRole("button", { name: "Send a test" }));
  await streamed(server, "hooks", {}, 5);
  expect(await within(hooks).findByText("On its way")).toBeVisible();
  deliveries = [{ ...delivery, settled_at: "2026-01-31T20:15:01Z", error: "404 Not Found" }];
  await streamed(server, "hooks", {}, 6);
  expect(await within(hooks).findByText("Given up")).toBeVisible();
  expect(within(hooks).getByText("404 Not Found")).toBeVisible();
});
