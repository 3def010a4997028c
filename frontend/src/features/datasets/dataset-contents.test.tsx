import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test } from "vitest";
import type { JobConfigValue } from "@/api/types";
import { DatasetContents } from "./dataset-contents";

const ROUTE = "POST /api/datasets/contents";
let server: SmallServer;

beforeEach(() => {
  server = new SmallServer().on(ROUTE, () => answer());
});

const bucket = { width: 944, height: 624, resolution: 768, batch_size: 2, is_shared: false };

function answer(changes: object = {}) {
  const pictures = Array.from({ length: 14 }, (_, number) => ({
    name: `${number}.png`,
    url: `/api/datasets/ink/pictures/${number}.png?side=256`,
    width: 1536,
    height: 1024,
    caption: number === 0 ? "" : `caption ${number}`,
    has_own_caption: number > 0,
  }));
  const ink = {
    name: "ink",
    num_pictures: 14,
    num_captioned: 13,
    pictures,
    buckets: [
      { ...bucket, num_pictures: 13, num_turns: 26, num_batches: 13 },
      { ...bucket, resolution: null, num_pictures: 1, num_turns: 2, num_batches: 1 },
    ],
    problems: [],
    ...changes,
  };
  return {
    datasets: [ink],
    num_turns: 28,
    num_batches: 14,
    num_steps: 7,
    num_epochs: 14.2857,
    held_out_share: 0,
  };
}

const config = (changes: JobConfigValue = {}): JobConfigValue => ({
  job: { training_name: "", trigger_word: "zorvex" },
  training: { batch_size: 2, gradient_accumulation: 2, steps: 100, learning_rate: "abc" },
  advanced: { validation: "off" },
  datasets: [{ target_dataset: "ink" }],
  ...changes,
});

function open(first: JobConfigValue) {
  const client = new QueryClient();
  const page = (shown: JobConfigValue) => (
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <DatasetContents config={shown} place={0} />
      </QueryClientProvider>
    </MantineProvider>
  );
  const { rerender } = render(page(first));
  return { user: userEvent.setup(), change: (next: JobConfigValue) => rerender(page(next)) };
}

describe("what a dataset holds", () => {
  test("is its pictures, its sizes with their batches, and the epochs that Steps makes", async () => {
    const { user } = open(config());
    const contents = await screen.findByRole("region", { name: "What ink holds" });
    expect(within(contents).getByText("14 pictures, 13 with captions of their own")).toBeVisible();
    expect(within(contents).getAllByRole("img")).toHaveLength(12);
    expect(within(contents).getByAltText("0.png: no caption")).toHaveAttribute("loading", "lazy");
    await user.click(screen.getByRole("button", { name: "Show 2 more pictures" }));
    expect(within(contents).getAllByRole("img")).toHaveLength(14);
    const rows = within(contents).getAllByRole("row").slice(1);
    expect(rows.map((row) => row.textContent)).toEqual(["944 × 624132613", "944 × 624own size121"]);
    expect(within(contents).getByText(/One epoch: 14 batches, 7 steps/)).toBeVisible();
    expect(within(contents).getByText(/Steps make 14.3 epochs/)).toBeVisible();
  });

  test("is asked for without what does not matter, however wrong that is", async () => {
    open(config());
    await screen.findByRole("region");
    const body = server.asked(ROUTE)[0]?.body as { config: Record<string, object> };
    expect(body.config.training).toEqual({ batch_size: 2, gradient_accumulation: 2, steps: 100 });
  });

  test("is asked for anew when another is chosen, and nothing for none", async () => {
    const { change } = open(config({ datasets: [{ target_dataset: "" }] }));
    expect(screen.queryByText("Looking…")).toBeNull();
    change(config());
    await screen.findByRole("region", { name: "What ink holds" });
    server.on(ROUTE, () => answer({ name: "oil", num_pictures: 0, pictures: [], buckets: [] }));
    change(config({ datasets: [{ target_dataset: "oil" }] }));
    expect(screen.getByText("Looking…")).toBeVisible();
    await screen.findByRole("region", { name: "What oil holds" });
  });

  test("says what is wrong with it", async () => {
    const torn = { ...problem("pictures_damaged", "Torn: 3.png."), hint: "Replace it." };
    server.on(ROUTE, () => answer({ problems: [torn] }));
    open(config());
    expect(await screen.findByText("Torn: 3.png. Replace it.")).toBeVisible();
  });

  test("is asked for again when the server could not work it out", async () => {
    server.on(ROUTE, () => new Refusal(500, [problem("defect", "A defect.")]));
    open(config());
    expect(await screen.findByText(/the server could not work it out/)).toBeVisible();
    expect(screen.queryByText(/Shown as soon as/)).toBeNull();
    server.on(ROUTE, () => answer());
    const shown = { name: "What ink holds" };
    expect(await screen.findByRole("region", shown, { timeout: 4000 })).toBeVisible();
  });

  test("says why it is not shown", async () => {
    server.on(ROUTE, () => new Refusal(422, [problem("bad_job", "Bad.")]));
    open(config());
    expect(await screen.findByText(/Shown as soon as every setting/)).toBeVisible();
    server.away = true;
    open(config({ training: { steps: 5 } }));
    await waitFor(() => expect(screen.getByText(/Not shown: the server/)).toBeVisible());
  });
});
