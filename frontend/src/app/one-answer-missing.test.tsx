/**
 * One answer fails, the others come: the page stands, and says what is missing where it is missing.
 *
 * What is only an extra is left out without a word: advice, the load of the last minutes, the marks
 * of samples on a curve, the folder that another job's start is made from. What a person would take
 * for absent is said: changes they asked for, measurements, whether the queue is paused.
 */

import { screen, waitFor, within } from "@testing-library/react";
import {
  failure,
  jobSummary,
  loadSample,
  queueState,
  sample,
  syntheticSchema,
  system,
  wholeJob,
} from "@tests/examples";
import { openPage } from "@tests/page";
import { jobsOf, pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";

vi.mock("@/features/jobs/curve-chart", () => ({ default: () => null }));

const FAULT = /The disk is slow today\./;
const refuse = () => new Refusal(500, [problem("crash", "The disk is slow today.")]);

const answers: Record<string, (request: never) => unknown> = {
  "/api/jobs": jobsOf(jobSummary()),
  "/api/queue": () => queueState(),
  "/api/system": () => system,
  "/api/system/load": () => ({ interval_seconds: 2, items: [loadSample(1, 1024 ** 3)] }),
  "/api/job-schema": () => ({ ...syntheticSchema, example: null }),
  "/api/hooks": () => ({ webhook_set: false, command_set: false, events: [], deliveries: [] }),
  "/api/drawings": () => pageOf(),
  "/api/loras": () => pageOf(),
  "/api/trash": () => pageOf(),
  "/api/jobs/1": () =>
    wholeJob({
      status: "failed",
      error: { ...problem("out_of_memory", "No memory left."), params: {} },
    }),
  "/api/jobs/1/failure": () => failure(),
  "/api/jobs/1/metrics": () => pageOf(),
  "/api/jobs/1/measurements": () => pageOf(),
  "/api/jobs/1/commands": () => pageOf(),
  "/api/jobs/1/checkpoints": () => pageOf(),
  "/api/jobs/1/samples": () => pageOf(sample(1, 100, 0, "a fox")),
  "/api/jobs/1/fine-contrast": () => ({ training_pictures: null, samples: [] }),
  "/api/jobs/1/log": () => ({ items: [], next: 0, dropped: 0 }),
};

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer();
  for (const [path, answer] of Object.entries(answers)) {
    server.on(`GET ${path}`, answer as () => unknown);
  }
  server.on("POST /api/jobs/validate", () => ({
    valid: true,
    errors: [],
    warnings: [],
    advice: [],
  }));
});

/** Address, what fails, the panel that says so (null: in the page itself), what stands beside it. */
const said: [string, string, string | null, string][] = [
  ["/jobs/1", "/api/jobs/1/metrics", "Curve", "Log"],
  ["/jobs/1", "/api/jobs/1/measurements", "Curve", "Log"],
  ["/jobs/1", "/api/jobs/1/samples", "Samples", "Curve"],
  ["/jobs/1", "/api/jobs/1/checkpoints", "Checkpoints", "Curve"],
  ["/jobs/1", "/api/jobs/1/log", "Log", "Curve"],
  ["/jobs/1", "/api/jobs/1/commands", "Changes while it ran", "Curve"],
  ["/jobs/1", "/api/jobs/1/failure", "The training failed", "Curve"],
  ["/", "/api/jobs", null, "Trash"],
  ["/", "/api/queue", null, "ink-portraits"],
  ["/", "/api/system", null, "ink-portraits"],
  ["/jobs/1/gallery", "/api/jobs/1/samples", null, "Pictures of ink-portraits"],
  ["/try", "/api/drawings", "Earlier drawings", "What to draw"],
  ["/system", "/api/hooks", "Hooks", "Devices"],
  ["/trash", "/api/trash", null, "Trash"],
];

describe.each(said)("%s without %s", (address, path, panel, beside) => {
  test(`says so in ${panel ?? "the page"}, and comes when it is tried again`, async () => {
    server.on(`GET ${path}`, refuse);
    const user = openPage(address);
    const place =
      panel === null
        ? await screen.findByRole("main")
        : await screen.findByRole("region", { name: panel });
    const main = screen.getByRole("main");
    expect((await within(main).findAllByText(beside)).length).toBeGreaterThan(0);
    // The stream, as it opens, asks once more for what failed.
    await waitFor(() => expect(server.streams).toHaveLength(1));
    await waitFor(() => expect(within(place).getByText(FAULT)).toBeVisible());
    await waitFor(() => expect(within(main).getAllByText(FAULT)).toHaveLength(1));

    server.on(`GET ${path}`, answers[path] as () => unknown);
    await user.click(await within(place).findByRole("button", { name: "Try again" }));
    await waitFor(() => expect(within(main).queryByText(FAULT)).toBeNull());
  });
});

/** What is only an extra, and what stands without it. */
const silent: [string, string, string][] = [
  ["/", "/api/system/load", "ink-portraits"],
  ["/jobs/1", "/api/jobs/1/fine-contrast", "Curve"],
  ["/jobs/1", "/api/system", "Curve"],
];

test.each(silent)("%s without %s is whole without a word", async (address, path, beside) => {
  server.on(`GET ${path}`, refuse);
  openPage(address);
  const main = await screen.findByRole("main");
  expect((await within(main).findAllByText(beside)).length).toBeGreaterThan(0);
  await waitFor(() => expect(server.asked(`GET ${path}`)).not.toHaveLength(0));
  expect(within(main).queryByText(FAULT)).toBeNull();
});

test("an example job that does not come is said on the first visit, and comes when asked again", async () => {
  server.on("GET /api/jobs", jobsOf()).on("GET /api/job-schema", refuse);
  const user = openPage();
  const main = await screen.findByRole("main");
  expect(await within(main).findByText("The example job could not be loaded")).toBeVisible();
  expect(within(main).getByText(FAULT)).toBeVisible();
  expect(within(main).getByRole("link", { name: "Start from scratch" })).toBeVisible();

  server.on("GET /api/job-schema", () => ({
    ...syntheticSchema,
    example: syntheticSchema.defaults,
  }));
  await user.click(within(main).getByRole("button", { name: "Try again" }));
  expect(await within(main).findByRole("link", { name: "Open the example job" })).toBeVisible();
  expect(within(main).queryByText(FAULT)).toBeNull();
});

test("LoRAs that cannot be listed are said where they are chosen", async () => {
  server.on("GET /api/loras", refuse);
  const user = openPage("/try");
  await user.click(await screen.findByRole("button", { name: "Choose" }));
  const dialog = await screen.findByRole("dialog");
  expect(await within(dialog).findByText(FAULT)).toBeVisible();
  server.on("GET /api/loras", () => pageOf());
  await user.click(within(dialog).getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(within(dialog).queryByText(FAULT)).toBeNull());
});

test("a plan and presets that break while drawing leave the form", async () => {
  // React says of every error that a boundary took that it did.
  vi.spyOn(console, "error").mockImplementation(() => {});
  server.on("POST /api/jobs/plan", () => ({ devices: [{}] })).on("GET /api/presets", () => ({}));
  openPage("/jobs/new");
  await waitFor(() => expect(screen.getAllByText("This part of the page broke")).toHaveLength(2));
  expect(screen.getByLabelText("Guests")).toBeVisible();
});

test("the notice of a page that broke does not stay on another", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  server.on("GET /api/trash", () => ({ items: [null], next: null }));
  const user = openPage("/trash");
  expect(await screen.findByText("This part of the page broke")).toBeVisible();
  await user.click(screen.getByRole("link", { name: "System" }));
  expect(await screen.findByText("Devices")).toBeVisible();
  expect(screen.queryByText("This part of the page broke")).toBeNull();
});
