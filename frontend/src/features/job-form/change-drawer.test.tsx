import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { command, syntheticSchema, wholeJob } from "@tests/examples";
import { pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { applyCommand } from "@/api/apply-event";
import type { Command, Job } from "@/api/types";
import { Announcer } from "@/components/ui/announcer";
import ChangeDrawer from "./change-drawer";
import ChangesPanel from "./changes-panel";

let server: SmallServer;
let client: QueryClient;
let asked: Command[];

const config = { kitchen: { guests: 4, flavour: "sour", sizes: [16], cook: "Ada" } };
const job = (changes: Partial<Job> = {}) => wholeJob({ config, ...changes });

beforeEach(() => {
  asked = [];
  client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  server = new SmallServer()
    .on("GET /api/job-schema", () => syntheticSchema)
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on("GET /api/jobs/1/commands", () => pageOf(...asked))
    .on("POST /api/jobs/1/commands", ({ body }) => {
      const { settings } = body as { settings: Record<string, unknown> };
      asked = [command({ id: asked.length + 1, settings }), ...asked];
      return { accepted: true };
    });
});

function open(shown: Job = job()) {
  const page = render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <ChangeDrawer job={shown} opened onClose={vi.fn()} renderDatasetPicker={() => null} />
        <ChangesPanel jobId={1} />
        <Announcer />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { ...page, user: userEvent.setup() };
}

async function type(user: ReturnType<typeof userEvent.setup>, label: string, value: string) {
  const field = await screen.findByLabelText(label);
  await user.clear(field);
  await user.type(field, value);
}

const drawer = () => within(screen.getByRole("dialog"));
const sent = () => server.asked("POST /api/jobs/1/commands").map(({ body }) => body);

describe("changing a job that runs", () => {
  test("offers what the server lets change, with the form's labels and helps, and nothing else", async () => {
    open();
    expect(await screen.findByLabelText("Guests")).toHaveValue("4");
    expect(screen.getByText("At the table.")).toBeVisible();
    expect(screen.getByLabelText("Flavour")).toHaveValue("sour");
    expect(screen.queryByLabelText("Cook")).toBeNull();
    expect(screen.queryByText("Courses")).toBeNull();
    expect(screen.getByRole("button", { name: "Send to the trainer" })).toBeDisabled();
  });

  test("sends only what is another, and says when the trainer has taken it", async () => {
    const { user } = open();
    await type(user, "Guests", "9");
    await user.selectOptions(screen.getByLabelText("Flavour"), "salty");
    await user.selectOptions(screen.getByLabelText("Flavour"), "sour");
    expect(screen.getByText("1 setting changed")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Send to the trainer" }));

    expect(await drawer().findByText("Asked for, waiting for the trainer")).toBeVisible();
    expect(sent()).toEqual([{ command: "change", settings: { "kitchen.guests": 9 } }]);
    expect(screen.getByLabelText("Guests")).toHaveValue("9");
    expect(screen.getByText("Nothing is changed yet.")).toBeVisible();

    const taken = command({ settings: { "kitchen.guests": 9 }, outcome: "taken", step: 1234 });
    await act(async () => applyCommand(client, 1, taken));
    expect(await drawer().findByText("Taken at step 1,234")).toBeVisible();
    expect(await screen.findByText("Change of settings: taken at step 1,234.")).toBeInTheDocument();
  });

  test("keeps what is typed while a change is sent, for the next one", async () => {
    let answer = () => {};
    server.on("POST /api/jobs/1/commands", ({ body }) => {
      const { settings } = body as { settings: Record<string, unknown> };
      return new Promise((resolve) => {
        answer = () => {
          asked = [command({ id: asked.length + 1, settings }), ...asked];
          resolve({ accepted: true });
        };
      });
    });
    const { user } = open();
    await type(user, "Guests", "9");
    await user.click(screen.getByRole("button", { name: "Send to the trainer" }));
    await waitFor(() => expect(sent()).toHaveLength(1));
    await user.selectOptions(screen.getByLabelText("Flavour"), "salty");
    await act(async () => answer());
    expect(await drawer().findByText("Asked for, waiting for the trainer")).toBeVisible();
    expect(screen.getByLabelText("Flavour")).toHaveValue("salty");
    expect(screen.getByText("1 setting changed")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Send to the trainer" }));
    await waitFor(() => expect(sent()).toHaveLength(2));
    expect(sent()[1]).toEqual({ command: "change", settings: { "kitchen.flavour": "salty" } });
  });

  test("says why the trainer refused, and still after a reload", async () => {
    asked = [
      command({
        settings: { "kitchen.guests": 2 },
        outcome: "refused",
        step: 50,
        problems: [{ ...problem("gone", "Four guests are there."), hint: "Ask for 4." }],
      }),
    ];
    open();
    await screen.findByLabelText("Guests");
    expect(await drawer().findByText("Refused at step 50")).toBeVisible();
    expect(drawer().getByText("Four guests are there. Ask for 4.")).toBeVisible();
    expect(screen.getByLabelText("Guests")).toHaveValue("4");
  });

  test("puts the server's refusal at its field and keeps what was typed", async () => {
    server.on(
      "POST /api/jobs/1/commands",
      () => new Refusal(422, [problem("too_many", "99 do not fit.", "kitchen.guests")]),
    );
    const { user } = open();
    await type(user, "Guests", "99");
    await user.click(screen.getByRole("button", { name: "Send to the trainer" }));
    expect(await screen.findByText("99 do not fit.")).toBeVisible();
    expect(screen.getByLabelText("Guests")).toBeInvalid();
    expect(screen.getByLabelText("Guests")).toHaveAccessibleDescription(/99 do not fit/);
    await type(user, "Guests", "5");
    expect(screen.queryByText("99 do not fit.")).toBeNull();
  });

  test("is checked while it is typed, as far as it may change", async () => {
    server.on("POST /api/jobs/validate", () => ({
      valid: false,
      errors: [
        problem("too_many", "7 do not fit.", "kitchen.guests"),
        problem("nobody", "There is no cook.", "kitchen.cook"),
      ],
      warnings: [],
      advice: [],
    }));
    const { user } = open();
    await type(user, "Guests", "7");
    expect(await screen.findByText("7 do not fit.")).toBeVisible();
    expect(screen.queryByText("There is no cook.")).toBeNull();
  });

  test("keeps what was typed through a reload, and gives it up when asked", async () => {
    const { user, unmount } = open();
    await type(user, "Guests", "6");
    unmount();
    const again = open();
    expect(await screen.findByLabelText("Guests")).toHaveValue("6");
    expect(screen.getByText(/Restored what you typed/)).toBeVisible();
    await again.user.click(screen.getByRole("button", { name: "Discard" }));
    await waitFor(() => expect(screen.getByLabelText("Guests")).toHaveValue("4"));
  });

  test("does not send to a job that has stopped meanwhile", async () => {
    const { user } = open(job({ status: "stopped" }));
    expect(await screen.findByText("It is not running now")).toBeVisible();
    await type(user, "Guests", "6");
    expect(screen.getByRole("button", { name: "Send to the trainer" })).toBeDisabled();
  });
});
