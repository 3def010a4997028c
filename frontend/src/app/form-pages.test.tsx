/** The form's page: where its values come from, and where they go. */

import { screen, waitFor } from "@testing-library/react";
import { syntheticSchema, system, wholeJob } from "@tests/examples";
import { openPage } from "@tests/page";
import { jobsOf, SmallServer } from "@tests/small-server";
import { beforeEach, expect, test } from "vitest";

let server: SmallServer;
const config = {
  ...syntheticSchema.defaults,
  job: { training_name: "ink-portraits" },
  kitchen: { guests: 9 },
};

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/job-schema", () => syntheticSchema)
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on("GET /api/jobs/1", () => wholeJob({ status: "stopped", config }));
});

const validated = () => server.asked("POST /api/jobs/validate").at(-1)?.body as { config: object };

test("a clone begins with the job's settings under a name of its own", async () => {
  const user = openPage("/jobs/new?from=1");
  expect(await screen.findByLabelText("Guests")).toHaveValue("9");
  await waitFor(() =>
    expect(validated().config).toMatchObject({ job: { training_name: "ink-portraits-copy" } }),
  );
  server.on("POST /api/jobs", () => wholeJob({ id: 2, status: "draft" }));
  await user.click(screen.getByRole("button", { name: "Save draft" }));
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/2/edit"));
});

test("a job is edited between its runs: saved first, and queued then", async () => {
  server
    .on("PATCH /api/jobs/1", () => wholeJob({ status: "stopped", config }))
    .on("POST /api/jobs/1/queue", () => wholeJob({ status: "queued", queue_position: 1 }));
  const user = openPage("/jobs/1/edit");
  const guests = await screen.findByLabelText("Guests");
  await user.clear(guests);
  await user.type(guests, "12");
  await user.click(screen.getByRole("button", { name: "Save and queue" }));
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/1"));
  const asked = server.requests.filter(
    ({ method, path }) => method !== "GET" && !/\/(validate|plan)$/.test(path),
  );
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
    "PATCH /api/jobs/1",
    "POST /api/jobs/1/queue",
  ]);
  expect(asked[0]?.body).toMatchObject({ config: { kitchen: { guests: 12 } } });
});
