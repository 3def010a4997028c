import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { problem, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { JobConfigValue } from "@/api/types";
import { ImportButton } from "./import-button";
import { JobForm } from "./job-form";

const ROUTE = "POST /api/jobs/import";
let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on(ROUTE, () => ({
      source: "ai_toolkit",
      config: { kitchen: { guests: 9 } },
      errors: [],
      carried: [
        { theirs: "train.people", ours: "kitchen.guests", value: 9, note: "Counted otherwise." },
      ],
      left_out: [
        { theirs: "train.magic", value: 7, reason: "No setting does this.", matters: true },
        { theirs: "save.upload", value: false, reason: "It is off.", matters: false },
      ],
    }));
});

async function open() {
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <JobForm
          schema={syntheticSchema}
          storageKey="new"
          saved={syntheticSchema.defaults as JobConfigValue}
          devices={[]}
          renderDatasetPicker={() => null}
          renderAbove={(aid) => <ImportButton aid={aid} />}
          saveLabel="Save draft"
          queueLabel="Queue job"
          onSave={vi.fn(async () => {})}
          onQueue={vi.fn(async () => {})}
        />
      </QueryClientProvider>
    </MantineProvider>,
  );
  const user = userEvent.setup();
  await user.click(screen.getByRole("button", { name: "Import a job file" }));
  return { user, dialog: await screen.findByRole("dialog", { name: "Import a job file" }) };
}

describe("a job file from elsewhere", () => {
  test("is read, accounted for by name and reason, and put into the form with a way back", async () => {
    const { user, dialog } = await open();
    const file = new File(["config: {}"], "ink.yaml");
    await user.upload(dialog.querySelector("input[type=file]") as HTMLInputElement, file);
    expect(await within(dialog).findByText("A job of AI Toolkit.")).toBeVisible();
    expect(server.asked(ROUTE)[0]?.body).toEqual({ text: "config: {}" });
    expect(
      within(dialog).getByRole("row", { name: "train.magic 7 No setting does this." }),
    ).toBeVisible();
    await user.click(within(dialog).getByText("Carried over: 1 value"));
    expect(within(dialog).getByText("Kitchen › Guests")).toBeVisible();
    expect(within(dialog).getByText("Counted otherwise.")).toBeVisible();
    await user.click(within(dialog).getByText("Left out, and it makes no difference: 1 value"));
    expect(within(dialog).getByText("It is off.")).toBeVisible();
    await user.click(within(dialog).getByRole("button", { name: "Put it into the form" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("9");
    expect(screen.getByText("Import of ink.yaml: 1 setting changed.")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Undo", hidden: true }));
    expect(screen.getByLabelText("Guests")).toHaveValue("4");
  });

  test("that is none says why, and the text can be mended", async () => {
    server.on(ROUTE, () => ({
      source: null,
      config: null,
      errors: [problem("no_job_file", "This is no job file.")],
      carried: [],
      left_out: [],
    }));
    const { user, dialog } = await open();
    await user.type(within(dialog).getByLabelText("Or paste its text"), "nonsense");
    await user.click(within(dialog).getByRole("button", { name: "Read it" }));
    expect(await within(dialog).findByText("This is no job file.")).toBeVisible();
    await user.type(within(dialog).getByLabelText("Or paste its text"), "!");
    expect(within(dialog).queryByText("This is no job file.")).toBeNull();
  });
});
