import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import { LiveProvider } from "@/api/live";
import { LogPanel } from "./log-panel";

test("a log is looked through by level and by words, and the words are marked", async () => {
  const lines = [
    "20:15:02 run 1 of ink",
    "20:15:03 WARNING a picture was not drawn",
    "20:15:04 ERROR the disk is full",
  ];
  new SmallServer().on("GET /api/jobs/1/log", () => ({
    items: lines.map((line) => ({ line })),
    next: "9",
    run: 1,
  }));
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <LiveProvider onStatusMoved={() => {}} onAlarm={() => {}} onUnauthorized={() => {}}>
          <LogPanel jobId={1} runs={[1]} />
        </LiveProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
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
