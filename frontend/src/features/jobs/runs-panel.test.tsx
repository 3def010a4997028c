import { MantineProvider } from "@mantine/core";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { run } from "@tests/examples";
import { expect, test } from "vitest";
import type { Move, Run } from "@/api/types";
import { RunsPanel } from "./runs-panel";

function show(runs: Run[], moves: Move[] = []) {
  render(
    <MantineProvider env="test">
      <RunsPanel runs={runs} moves={moves} />
    </MantineProvider>,
  );
}

test("a run that failed says which kind of failure it was, one that did not says nothing", () => {
  show([
    run(1, { status: "failed", failure_class: "out_of_memory", exit_code: 9 }),
    run(2, { status: "completed" }),
  ]);
  const [second, first] = screen.getAllByRole("listitem");
  expect(first).toHaveTextContent(/Out of memory/);
  expect(first).toHaveTextContent(/exit code 9/);
  expect(second).not.toHaveTextContent(/Out of memory/);
});

test("the moves of the job stand behind one press, the newest first, each with its reason", async () => {
  const moved_at = "2026-01-31T20:17:10Z";
  show(
    [run(1, { status: "failed" })],
    [
      { from_status: "running", to_status: "failed", reason: "failed: crash", moved_at },
      { from_status: "queued", to_status: "starting", reason: "claimed for cpu", moved_at },
    ],
  );
  expect(screen.getByText("failed: crash")).not.toBeVisible();
  await userEvent.setup().click(screen.getByText("What happened to it"));
  expect(screen.getByText("failed: crash")).toBeVisible();
  const moves = screen.getByText("What happened to it").closest("details") as HTMLElement;
  expect(
    within(moves)
      .getAllByRole("listitem")
      .map((item) => item.firstChild?.textContent),
  ).toEqual(["Running → Failed", "Waiting → Starting"]);
});

test("without moves nothing is offered to open", () => {
  show([]);
  expect(screen.queryByText("What happened to it")).toBeNull();
});
