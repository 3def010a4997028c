import { MantineProvider } from "@mantine/core";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { problem, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { JobConfigValue, JobSchema } from "@/api/types";
import { JobForm } from "./job-form";

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer().on("POST /api/jobs/validate", () => verdict());
});

function verdict(changes: object = {}) {
  return { valid: true, errors: [], warnings: [], advice: [], ...changes };
}

/** The schema of cooking, in which most people touch the cook and the guests. */
function plainSchema(): JobSchema {
  const schema = structuredClone(syntheticSchema);
  const { Kitchen } = schema.schema.$defs as Record<string, { properties: Record<string, object> }>;
  const { cook, guests } = Kitchen?.properties ?? {};
  Object.assign(cook ?? {}, { plain: true });
  Object.assign(guests ?? {}, { plain: true, guides: "Two to six." });
  return schema;
}

function open() {
  const schema = plainSchema();
  const page = render(
    <MantineProvider env="test">
      <JobForm
        schema={schema}
        storageKey="new"
        saved={schema.defaults as JobConfigValue}
        devices={[]}
        renderDatasetPicker={() => null}
        saveLabel="Save draft"
        queueLabel="Queue job"
        onSave={vi.fn(async () => {})}
        onQueue={vi.fn(async () => {})}
      />
    </MantineProvider>,
  );
  return { ...page, user: userEvent.setup() };
}

describe("a plain form", () => {
  test("shows what most people touch, and what the guides say of it", () => {
    open();
    expect(screen.getByLabelText("Cook")).toBeVisible();
    expect(screen.getByText("Guides: Two to six.")).toBeVisible();
    expect(screen.queryByLabelText("Flavour")).toBeNull();
    expect(screen.getByLabelText("Dish")).toBeVisible();
  });

  test("shows the others of a panel at a click, and all of them, as it was left", async () => {
    const first = open();
    const kitchen = screen.getByRole("region", { name: "Kitchen" });
    await first.user.click(within(kitchen).getByRole("button", { name: /more settings$/ }));
    expect(screen.getByLabelText("Flavour")).toBeVisible();
    await first.user.click(screen.getByText("All settings"));
    first.unmount();
    open();
    expect(screen.getByLabelText("Flavour")).toBeVisible();
    expect(screen.queryByRole("button", { name: /more settings$/ })).toBeNull();
  });

  test("shows what something is wrong with, and leads there", async () => {
    server.on("POST /api/jobs/validate", () =>
      verdict({ valid: false, errors: [problem("odd", "No such soup.", "kitchen.flavour")] }),
    );
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "Go to Kitchen › Flavour" }));
    await waitFor(() => expect(screen.getByLabelText("Flavour")).toHaveFocus());
  });

  test("keeps what was set to something else in sight, and while it is set back", async () => {
    const first = open();
    await first.user.click(screen.getByText("All settings"));
    await first.user.selectOptions(screen.getByLabelText("Flavour"), "salty");
    await first.user.click(screen.getByText("Plain"));
    expect(screen.getByLabelText("Flavour")).toBeVisible();
    expect(screen.queryByLabelText("Heat")).toBeNull();
    await first.user.click(screen.getByRole("button", { name: /Reset to sour: Flavour/ }));
    expect(screen.getByLabelText("Flavour")).toBeVisible();
  });
});

describe("advice", () => {
  test("stands beside its field and apart from what is wrong, and keeps nothing from running", async () => {
    const advice = { ...problem("many", "Nine guests.", "kitchen.guests"), severity: "info" };
    server.on("POST /api/jobs/validate", () => verdict({ advice: [advice] }));
    const { user } = open();
    expect(await screen.findByText("Ready to queue")).toBeVisible();
    expect(screen.getByLabelText("Guests")).toBeValid();
    expect(screen.getByLabelText("Guests")).toHaveAccessibleDescription(/Nine guests/);
    await user.click(screen.getByText("One piece of advice"));
    await user.click(screen.getByRole("button", { name: "Go to Kitchen › Guests" }));
    await waitFor(() => expect(screen.getByLabelText("Guests")).toHaveFocus());
  });
});
