import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import { checkpoint, measurement } from "@tests/examples";
import { pageOf, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import { CheckpointsPanel } from "./checkpoints-panel";

test("says which checkpoint is the best and by what, which is pinned, which is the result", async () => {
  new SmallServer()
    .on("GET /api/jobs/1/checkpoints", () =>
      pageOf(
        checkpoint(10, { is_pinned: true }),
        checkpoint(20, { is_best: true }),
        checkpoint(30, { id: 99, is_final: true }),
      ),
    )
    .on("GET /api/jobs/1/measurements", () =>
      pageOf(measurement(10), measurement(20, { validation_loss: 0.125 })),
    );
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <CheckpointsPanel jobId={1} expecting={false} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  await screen.findByText("Validation loss 0.125, the lowest of those kept.");
  const rows = screen.getAllByRole("rowheader").map((cell) => cell.closest("tr") as HTMLElement);
  const marks = rows.map((row) =>
    ["Final", "Best", "Pinned"].filter((word) => within(row).queryByText(word) !== null),
  );
  expect(marks).toEqual([["Final"], ["Best"], ["Pinned"]]);
  expect(rows[1]?.nextElementSibling).toHaveTextContent(/^Validation loss 0.125/);
});
