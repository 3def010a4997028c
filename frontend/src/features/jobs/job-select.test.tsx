import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { jobSummary } from "@tests/examples";
import { problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, expect, test, vi } from "vitest";
import { JobSelect } from "./job-select";

const jobs = Array.from({ length: 1000 }, (_, place) =>
  jobSummary({ id: 1000 - place, training_name: `ink-${1000 - place}` }),
);
let server: SmallServer;

beforeEach(() => {
  server = new SmallServer().on("GET /api/jobs", ({ query }) => {
    const named = jobs.filter(({ training_name }) =>
      training_name.includes(query.get("search") ?? ""),
    );
    return { items: named.slice(0, Number(query.get("limit"))), next: null };
  });
});

function open(chosen: { id: number; training_name: string } | null = null) {
  const onChosen = vi.fn();
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <JobSelect label="With" except={1} chosen={chosen} onChosen={onChosen} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return {
    user: userEvent.setup(),
    field: screen.getByRole("combobox", { name: "With" }),
    onChosen,
  };
}

test("a job far down the list is found by its name", async () => {
  const { user, field, onChosen } = open();
  await user.type(field, "ink-300");
  expect(screen.queryByText("There is no other job of that name.")).toBeNull();
  await user.click(await screen.findByRole("option", { name: "ink-300" }));
  expect(onChosen).toHaveBeenCalledWith(300);
});

test("a name that no job has is said to be of none, once the server has looked", async () => {
  const { user, field } = open();
  await user.type(field, "chalk");
  expect(await screen.findByText("Loading")).toBeVisible();
  expect(await screen.findByText("There is no other job of that name.")).toBeVisible();
});

test("with one chosen, the others are offered, not only those called like it", async () => {
  const { user, field } = open({ id: 7, training_name: "ink-7" });
  await user.click(field);
  expect(await screen.findByRole("option", { name: "ink-1000" })).toBeVisible();
  const searches = server.asked("GET /api/jobs").map(({ query }) => query.get("search"));
  expect(searches).toEqual([null]);
});

test("a failed request is said to be that", async () => {
  server.on("GET /api/jobs", () => new Refusal(500, [problem("defect", "A defect.")]));
  const { user, field } = open();
  await user.type(field, "ink");
  await waitFor(() =>
    expect(screen.getByText(/could not be looked through. A defect./)).toBeVisible(),
  );
  expect(screen.queryByText("There is no other job of that name.")).toBeNull();
});
