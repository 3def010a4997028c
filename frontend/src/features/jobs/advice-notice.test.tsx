import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import drawn from "@tests/drawn-distances.json";
import { checkpoint, measurement, sample, wholeJob } from "@tests/examples";
import { pageOf, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import type { Measurement } from "@/api/types";
import { AdviceNotice } from "./advice-notice";

/** A run at step 500 whose samples all differ from the base model's pictures alike, and ring. */
function open(...measurements: Measurement[]) {
  new SmallServer()
    .on("GET /api/jobs/1/measurements", () => pageOf(...measurements))
    .on("GET /api/jobs/1/checkpoints", () => pageOf(checkpoint(500)))
    .on("GET /api/jobs/1/samples", () =>
      pageOf(sample(1, 0, 0, "ok a disc"), sample(2, 500, 0, "ok a disc")),
    )
    .on("GET /api/jobs/1/fine-contrast", () => ({
      training_pictures: 0.02,
      samples: drawn.changes_everywhere_alike.map((each, prompt_index) => ({
        step: 500,
        prompt_index,
        sample: 0.04,
        base: 0.02,
        ...each,
      })),
    }));
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <AdviceNotice job={wholeJob({ step: 500, total_steps: 1500, phase: "train" })} />
      </QueryClientProvider>
    </MantineProvider>,
  );
}

test("samples that all move are told of in a run without the probe", async () => {
  open();
  expect(await screen.findByText(/it changes everything it draws/)).toBeVisible();
  expect(screen.getByText(/Differential Output Preservation/)).toBeVisible();
});

test("a probe that found the base preserved is believed", async () => {
  open(measurement(500, { change_with_trigger: 0.3, drift_without_trigger: 0.02 }));
  expect(await screen.findByText(/fine contrast/), "from the same answer").toBeVisible();
  expect(screen.queryByText(/it changes everything it draws/)).toBeNull();
});
