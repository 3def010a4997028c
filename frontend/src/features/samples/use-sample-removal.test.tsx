import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { sample, trashEntry } from "@tests/examples";
import { problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, expect, test } from "vitest";
import { keys } from "@/api/queries";
import { useSampleRemoval } from "./use-sample-removal";

const samples = [1, 2, 3].map((id) => sample(id, 50, id, "a fox"));
const taken = () => new Refusal(409, [problem("taken", "Another picture is at its place.")]);

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer();
  for (const { id } of samples) {
    server
      .on(`DELETE /api/jobs/1/samples/${id}`, () => trashEntry({ id: `entry-${id}` }))
      .on(`POST /api/trash/entry-${id}/restore`, () => ({ job_id: 1 }));
  }
});

function Page() {
  const remove = useSampleRemoval();
  return (
    <button type="button" onClick={() => remove(samples.map((one) => ({ jobId: 1, sample: one })))}>
      Delete all
    </button>
  );
}

async function deleteAll() {
  const client = new QueryClient();
  client.setQueryData(keys.samples(1), samples);
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <Page />
        <Notifications />
      </QueryClientProvider>
    </MantineProvider>,
  );
  const user = userEvent.setup();
  await user.click(screen.getByRole("button", { name: "Delete all" }));
  return { user, client };
}

test("one of several pictures that cannot come back keeps no other in the trash", async () => {
  server.on("POST /api/trash/entry-1/restore", taken);
  const { user } = await deleteAll();
  await screen.findByText("3 pictures are in the trash.");
  await user.click(screen.getByRole("button", { name: "Undo" }));
  expect(await screen.findByText("2 pictures are back, 1 is not")).toBeVisible();
  expect(screen.getByText("Another picture is at its place.")).toBeVisible();
  for (const { id } of samples) {
    expect(server.asked(`POST /api/trash/entry-${id}/restore`)).toHaveLength(1);
  }
});

test("a reason that several share is said once", async () => {
  server.on("POST /api/trash/entry-1/restore", taken).on("POST /api/trash/entry-3/restore", taken);
  const { user } = await deleteAll();
  await user.click(await screen.findByRole("button", { name: "Undo" }));
  expect(await screen.findByText("1 picture is back, 2 are not")).toBeVisible();
  expect(screen.getByText("Another picture is at its place.")).toBeVisible();
});

test("one that cannot be deleted keeps no other from the trash, and is looked for again", async () => {
  server.on("DELETE /api/jobs/1/samples/1", taken);
  const { client } = await deleteAll();
  expect(await screen.findByText("2 pictures are in the trash.")).toBeVisible();
  expect(screen.getByText("1 of 3 pictures could not be deleted")).toBeVisible();
  await waitFor(() => expect(client.getQueryState(keys.samples(1))?.isInvalidated).toBe(true));
});
