import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { checkpoint, jobSummary, measurement, metric, sample, wholeJob } from "@tests/examples";
import { jobsOf, pageOf, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { LiveProvider } from "@/api/live";
import type { CurveDrawing, CurveMark } from "./curve-drawing";
import { CurvePanel } from "./curve-panel";

interface Drawn {
  drawing: CurveDrawing;
  marks: CurveMark[];
  range: [number, number] | null;
  onRange: (range: [number, number] | null) => void;
  label: string;
}

// What is drawn needs a canvas, which the browser tests have; what it is given is checked here.
let drawn: Drawn;
vi.mock("./curve-chart", () => ({
  default: (props: Drawn) => {
    drawn = props;
    return <div role="img" aria-label={props.label} />;
  },
}));

beforeEach(() => {
  window.history.replaceState(null, "", "/jobs/1");
  new SmallServer()
    .on(
      "GET /api/jobs",
      jobsOf(
        jobSummary(),
        jobSummary({ id: 2, training_name: "chalk", status: "completed" }),
        jobSummary({ id: 3, training_name: "pencil", status: "completed" }),
      ),
    )
    .on("GET /api/jobs/1/metrics", () =>
      pageOf(...[1, 2, 3, 4].map((step) => metric(step, { loss: 1 / step }))),
    )
    .on("GET /api/jobs/1/measurements", () =>
      pageOf(measurement(0), measurement(4, { validation_loss: 0.25 })),
    )
    .on("GET /api/jobs/1/checkpoints", () => pageOf(checkpoint(4, { is_best: true })))
    .on("GET /api/jobs/1/samples", () => pageOf(sample(1, 0, 0, "a fox")))
    .on("GET /api/jobs/2", () => wholeJob({ id: 2, training_name: "chalk", status: "completed" }))
    .on("GET /api/jobs/2/metrics", () => pageOf(metric(1), metric(9, { loss: 0.125 })))
    .on("GET /api/jobs/2/measurements", () => pageOf());
});

function open(runs = [1]) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const page = render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <LiveProvider onStatusMoved={() => {}} onAlarm={() => {}} onUnauthorized={() => {}}>
          <CurvePanel jobId={1} name="ink" runs={runs} expecting />
        </LiveProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { ...page, user: userEvent.setup() };
}

const labels = () => drawn.drawing.lines.map(({ label }) => label);

test("draws what is chosen of what was measured, and says why the rest is not there", async () => {
  const { user } = open();
  expect(await screen.findByRole("img", { name: /Validation 0.25 at step 4/ })).toBeVisible();
  expect(labels()).toEqual(["Loss", "Smoothed", "Validation"]);
  const series = within(screen.getByRole("group", { name: "Series" }));
  expect(series.queryByLabelText("Preservation")).toBeNull();
  expect(series.queryByLabelText("Drift without trigger")).toBeNull();
  await user.click(screen.getByText("Why some curves are not here"));
  expect(screen.getByText(/Differential Output Preservation .* is off/)).toBeVisible();
  expect(screen.getByText(/Preservation Probe/)).toBeVisible();

  await user.click(series.getByLabelText("Smoothed"));
  await user.click(series.getByLabelText("Step time"));
  expect(labels()).toEqual(["Loss", "Validation", "Step time"]);
  for (const name of ["Loss", "Validation", "Step time"]) {
    await user.click(series.getByLabelText(name));
  }
  expect(screen.getByText("Choose at least one series.")).toBeVisible();
});

test("marks where pictures were drawn and checkpoints saved", async () => {
  open();
  await screen.findByRole("img", { name: /Curve of ink/ });
  await waitFor(() =>
    expect(drawn.marks).toEqual([
      { step: 0, kind: "sample" },
      { step: 4, kind: "best" },
    ]),
  );
});

test("goes into the part that was dragged over, by keyboard as well, and back", async () => {
  const { user } = open();
  await screen.findByRole("img", { name: /Curve of ink/ });
  const all = screen.getByRole("button", { name: "Show all" });
  expect(all).toBeDisabled();
  act(() => drawn.onRange([2, 3]));
  expect(drawn.range).toEqual([2, 3]);
  expect(screen.getByText("Steps 2 to 3")).toBeVisible();
  await user.click(all);
  expect(drawn.range).toBeNull();
  screen.getByRole("slider", { name: "First step in sight" }).focus();
  await user.keyboard("{ArrowRight}");
  expect(drawn.range).toEqual([1, 4]);
  await user.keyboard("{ArrowLeft}");
  expect(drawn.range).toBeNull();
});

test("shows each step of a long curve where somebody looks closely", async () => {
  const thinned = [1, 50, 100, 150, 200];
  const server = new SmallServer();
  server
    .on("GET /api/jobs/1/metrics", ({ query }) => {
      const after = Number(query.get("after_step") ?? 0);
      const through = Number(query.get("through_step") ?? 0);
      const all = Array.from({ length: 200 }, (_, place) => place + 1);
      const steps = through === 0 ? thinned : all.slice(after, through);
      return pageOf(...steps.map((step) => metric(step)));
    })
    .on("GET /api/jobs/1/measurements", () => pageOf())
    .on("GET /api/jobs/1/checkpoints", () => pageOf())
    .on("GET /api/jobs/1/samples", () => pageOf());
  const { user } = open();
  await screen.findByRole("img", { name: /Curve of ink/ });
  expect(drawn.drawing.steps).toEqual(thinned);
  act(() => drawn.onRange([98, 102]));
  act(() => drawn.onRange([120, 123]));
  await waitFor(() => expect(drawn.drawing.steps).toContain(121));
  expect(drawn.drawing.steps).toEqual([1, 50, 100, 120, 121, 122, 123, 150, 200]);
  const parts = server.requests.filter(({ query }) => query.has("through_step"));
  expect(parts.map(({ query }) => query.get("through_step"))).toEqual(["123"]);
  await user.click(screen.getByRole("button", { name: "Show all" }));
  expect(drawn.drawing.steps).toEqual(thinned);
});

describe("of a job with several runs", () => {
  let server: SmallServer;
  beforeEach(() => {
    const curves: Record<string, object[]> = {
      all: [metric(1), metric(2), metric(3, { run: 2, loss: 0.3 })],
      1: [metric(1), metric(2), metric(9, { loss: 0.9 })],
      2: [metric(3, { run: 2, loss: 0.3 })],
      3: [],
    };
    const measured: Record<string, object[]> = {
      all: [measurement(2)],
      1: [measurement(2), measurement(9, { validation_loss: 0.75 })],
    };
    server = new SmallServer()
      .on("GET /api/jobs/1/metrics", ({ query }) =>
        pageOf(...(curves[query.get("run") ?? "all"] ?? [])),
      )
      .on("GET /api/jobs/1/measurements", ({ query }) =>
        pageOf(...(measured[query.get("run") ?? "all"] ?? [])),
      )
      .on("GET /api/jobs/1/checkpoints", () => pageOf(checkpoint(3)))
      .on("GET /api/jobs/1/samples", () => pageOf(sample(1, 0, 0, "a fox")));
  });

  test("shows what one of them did, also what a later one took back", async () => {
    const { user } = open([1, 2]);
    await screen.findByRole("img", { name: /Curve of ink: Loss 0.3 at step 3/ });
    await waitFor(() => expect(drawn.marks).toHaveLength(2));
    await user.click(screen.getByLabelText("Smoothed"));
    act(() => drawn.onRange([1, 2]));

    const choice = screen.getByRole("combobox", { name: "Runs in the curve" });
    expect(choice).toHaveDisplayValue("All runs");
    await user.selectOptions(choice, "Run 1");
    await screen.findByRole("img", { name: /Curve of ink, run 1: Loss 0.9 at step 9/ });
    await screen.findByRole("img", { name: /Validation 0.75 at step 9/ });
    expect(drawn.drawing.steps).toEqual([1, 2, 9]);
    expect(labels(), "what was chosen stays").toEqual(["Loss", "Validation"]);
    expect(drawn.range, "a part of another curve").toBeNull();
    expect(drawn.marks, "of the curve of all runs").toEqual([]);

    act(() => drawn.onRange([2, 9]));
    await waitFor(() => expect(parts()).toEqual(["1"]));
    await user.selectOptions(choice, "All runs");
    await screen.findByRole("img", { name: /Curve of ink: Loss 0.3 at step 3/ });
    expect(drawn.drawing.steps).toEqual([1, 2, 3]);
    await waitFor(() => expect(drawn.marks).toHaveLength(2));
  });

  /** The run of each part that was looked at closely. */
  const parts = () =>
    server.requests
      .filter(({ query }) => query.has("through_step"))
      .map(({ query }) => query.get("run"));

  test("says of one that trained nothing that it did not", async () => {
    const { user } = open([1, 2, 3]);
    await screen.findByRole("img", { name: /Curve of ink/ });
    await user.selectOptions(screen.getByLabelText("Runs in the curve"), "Run 3");
    expect(await screen.findByText("This run has trained no step.")).toBeVisible();
  });

  test("leaves nothing to choose while there is one", async () => {
    open([1]);
    await screen.findByRole("img", { name: /Curve of ink/ });
    expect(screen.queryByLabelText("Runs in the curve")).toBeNull();
  });
});

test("lays the curves of another job over it, which the address keeps", async () => {
  const { user, unmount } = open();
  const picker = await screen.findByRole("combobox", { name: "Lay another job's curves over it" });
  await user.click(picker);
  await user.type(picker, "cha");
  expect(screen.queryByRole("option", { name: "pencil" })).toBeNull();
  await user.click(await screen.findByRole("option", { name: "chalk" }));
  await waitFor(() => expect(labels()).toContain("Loss, chalk"));
  expect(labels()).toEqual(["Loss", "Smoothed", "Validation", "Loss, chalk", "Smoothed, chalk"]);
  expect(drawn.drawing.steps).toEqual([0, 1, 2, 3, 4, 9]);
  expect(window.location.search).toBe("?beside=2");
  unmount();

  const again = open();
  await screen.findByRole("img", { name: /Loss, chalk 0.125 at step 9/ });
  await again.user.click(
    screen.getByRole("combobox", { name: "Lay another job's curves over it" }),
  );
  await again.user.keyboard("{Backspace}");
  await waitFor(() => expect(labels()).not.toContain("Loss, chalk"));
  expect(window.location.search).toBe("");
});

test("is there in numbers too", async () => {
  const { user } = open();
  await screen.findByRole("img", { name: /Curve of ink/ });
  await user.click(screen.getByText("The curve as a table"));
  const table = await screen.findByRole("table");
  expect(within(table).getByRole("columnheader", { name: "Validation" })).toBeVisible();
  const last = within(table).getByRole("row", { name: /^4 / });
  expect(last).toHaveTextContent("0.25");
  expect(last).toHaveTextContent("Best checkpoint");
});
