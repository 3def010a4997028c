import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Refusal, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import { LiveProvider, useTopics } from "@/api/live";
import { LogPanel } from "./log-panel";

function Listening() {
  useTopics("job:1");
  return null;
}

function open({ listens = false } = {}) {
  const client = new QueryClient({
    defaultOptions: { queries: { retry: false, staleTime: 1000 } },
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <LiveProvider onStatusMoved={() => {}} onAlarm={() => {}} onUnauthorized={() => {}}>
          {listens && <Listening />}
          <LogPanel jobId={1} runs={[1]} />
        </LiveProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

test("a log is looked through by level and by words, and the words are marked", async () => {
  const lines = [
    "20:15:02 run 1 of ink",
    "20:15:03 WARNING a picture was not drawn",
    "20:15:04 ERROR the disk is full",
  ];
  new SmallServer().on("GET /api/jobs/1/log", () => ({
    items: lines.map((line, offset) => ({ line, offset })),
    next: "9",
    run: 1,
  }));
  open();
  const user = userEvent.setup();
  const log = await screen.findByRole("log", { name: "Log lines" });
  expect(log).toHaveTextContent("run 1 of ink");
  await user.selectOptions(screen.getByLabelText("Level"), "Warnings and errors");
  expect(log).not.toHaveTextContent("run 1 of ink");
  expect(screen.getByRole("status")).toHaveTextContent("2 of 3 lines");
  await user.type(screen.getByLabelText("Search the log"), "DISK");
  expect(screen.getByText("disk").tagName).toBe("MARK");
  expect(screen.getByRole("status")).toHaveTextContent("1 of 3 lines");
  await user.type(screen.getByLabelText("Search the log"), " of gold");
  expect(screen.getByText("No line is like that.")).toBeVisible();
  await user.clear(screen.getByLabelText("Search the log"));
  await user.selectOptions(screen.getByLabelText("Level"), "Everything");
  expect(screen.getByRole("log")).toHaveTextContent("run 1 of ink");
  expect(screen.queryByRole("status")).toBeNull();
});

test("a part of a log says how much it is, and is read back to the log's beginning", async () => {
  const earlier = { items: [{ line: "the beginning", offset: 0 }], next: "600000", run: 1 };
  const server = new SmallServer().on("GET /api/jobs/1/log", ({ query }) =>
    query.get("before") === "600000"
      ? earlier
      : {
          items: [
            { line: "near the end", offset: 600000 },
            { line: "the end", offset: 600013 },
          ],
          next: "2400000",
          run: 1,
        },
  );
  open();
  const user = userEvent.setup();
  expect(await screen.findByText("The last 2 lines are shown: 1.8 MB of 2.4 MB.")).toBeVisible();
  await user.type(screen.getByLabelText("Search the lines shown"), "near");
  expect(screen.getByRole("status")).toHaveTextContent("1 of the 2 lines shown");
  await user.clear(screen.getByLabelText("Search the lines shown"));
  await user.click(screen.getByRole("button", { name: "Earlier lines" }));
  expect(await screen.findByText("the beginning")).toBeVisible();
  expect(screen.getByRole("log")).toHaveTextContent(/the beginning\s+near the end\s+the end/);
  expect(screen.queryByText(/The last/)).toBeNull();
  expect(screen.getByLabelText("Search the log")).toBeVisible();
  expect(screen.getByLabelText("Follow")).not.toBeChecked();
  expect(server.asked("GET /api/jobs/1/log")).toHaveLength(2);
});

test("the whole log of the chosen run is a download", async () => {
  new SmallServer().on("GET /api/jobs/1/log", () => ({ items: [], next: "0", run: 1 }));
  open();
  expect(
    await screen.findByRole("link", { name: "Download the whole log of the run" }),
  ).toHaveAttribute("href", "/api/jobs/1/log/file?run=1");
});

test("the last lines of a run come after a cut, though no event tells of them again", async () => {
  const lines = [
    { line: "the beginning", offset: 0 },
    { line: "near the end", offset: 14 },
  ];
  let isAway = false;
  const server = new SmallServer().on("GET /api/jobs/1/log", ({ query }) => {
    if (isAway) {
      return new Refusal(502, []);
    }
    const from = Number(query.get("before") ?? query.get("offset") ?? "14");
    const items = query.has("before") ? lines.slice(0, 1) : lines.filter((l) => l.offset >= from);
    return { items, next: String(14 * lines.length), run: 1 };
  });
  open({ listens: true });
  await userEvent.click(await screen.findByRole("button", { name: "Earlier lines" }));
  await screen.findByText("the beginning");
  const before = server.asked("GET /api/jobs/1/log").length;
  isAway = true;
  await act(async () => server.stream.send("log", { job_id: 1 }, 2));
  await waitFor(() =>
    expect(server.asked("GET /api/jobs/1/log").length).toBeGreaterThanOrEqual(before + 2),
  );
  lines.push({ line: "Traceback", offset: 28 });
  isAway = false;
  await act(async () => server.stream.cut());
  expect(await screen.findByText("Traceback")).toBeVisible();
  expect(screen.getByRole("log")).toHaveTextContent(/the beginning\s+near the end\s+Traceback/);
});
