import { MantineProvider } from "@mantine/core";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { problem, Refusal, type Request, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { ApiError } from "@/api/errors";
import type { JobConfigValue } from "@/api/types";
import { JobForm, type JobFormProps } from "./job-form";
import { readDraft, storeDraft } from "./stored-draft";

let server: SmallServer;
const allGood = () => ({ valid: true, errors: [], warnings: [], advice: [] });

beforeEach(() => {
  server = new SmallServer().on("POST /api/jobs/validate", allGood);
});

function open(changes: Partial<JobFormProps> = {}) {
  const props: JobFormProps = {
    schema: syntheticSchema,
    storageKey: "new",
    saved: syntheticSchema.defaults as JobConfigValue,
    devices: [],
    renderDatasetPicker: () => null,
    saveLabel: "Save draft",
    queueLabel: "Queue job",
    onSave: vi.fn(async () => {}),
    onQueue: vi.fn(async () => {}),
    ...changes,
  };
  const page = render(
    <MantineProvider env="test">
      <JobForm {...props} />
    </MantineProvider>,
  );
  return { ...props, ...page, user: userEvent.setup() };
}

function configOf(request: Request | undefined): Record<string, Record<string, unknown>> {
  const body = request?.body as { config: Record<string, Record<string, unknown>> } | undefined;
  return body?.config ?? {};
}

describe("a form drawn from a schema it has never seen", () => {
  test("shows every panel and every setting with label, help, unit and when it has no effect", () => {
    open();
    const kitchen = screen.getByRole("region", { name: "Kitchen" });
    for (const label of [
      "Cook",
      "Heat",
      "Guests",
      "Stove",
      "Flavour",
      "Timer",
      "Sizes",
      "Secret",
    ]) {
      expect(within(kitchen).getByLabelText(label)).toBeVisible();
    }
    expect(within(kitchen).getByText("How hot it gets.")).toBeVisible();
    expect(within(kitchen).getByText("degrees")).toBeVisible();
    expect(within(kitchen).getByText("No effect when: The stove is off.")).toBeVisible();
    expect(within(kitchen).getByPlaceholderText("blank = never")).toBeVisible();
    expect(within(kitchen).getByRole("option", { name: "Sweet as honey" })).toBeInTheDocument();
    expect(screen.getByRole("region", { name: "Courses" })).toBeVisible();
  });

  test("reads numbers as people write them and keeps blanks as null", async () => {
    const { user, onSave } = open();
    expect(screen.getByLabelText("Heat")).toHaveValue("1e-4");
    await user.clear(screen.getByLabelText("Heat"));
    await user.type(screen.getByLabelText("Heat"), "2e-3");
    await user.type(screen.getByLabelText("Timer"), "30");
    await user.clear(screen.getByLabelText("Timer"));
    await user.click(screen.getByLabelText("Stove"));
    await user.type(screen.getByLabelText("Sizes"), "128{Enter}");
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    expect(onSave).toHaveBeenCalledWith(
      expect.objectContaining({
        kitchen: expect.objectContaining({
          heat: 0.002,
          timer: null,
          stove: true,
          sizes: [16, 128],
          secret: { salt: 1 },
        }),
      }),
    );
  });

  test("takes thousands for thousands and shows the number it took", async () => {
    const { user, onSave } = open();
    const guests = screen.getByLabelText("Guests");
    await user.clear(guests);
    await user.type(guests, "2,000");
    expect(guests).toHaveValue("2,000");
    await user.tab();
    expect(guests).toHaveValue("2000");
    await user.clear(screen.getByLabelText("Heat"));
    await user.type(screen.getByLabelText("Heat"), "1,500");
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    expect(onSave).toHaveBeenCalledWith(
      expect.objectContaining({
        kitchen: expect.objectContaining({ guests: 2000, heat: "1,500" }),
      }),
    );
    expect(screen.getByLabelText("Heat")).toHaveValue("1,500");
  });

  test("leaves what is no number as it was typed, for the server to name", async () => {
    const { user, onSave } = open();
    await user.clear(screen.getByLabelText("Guests"));
    await user.type(screen.getByLabelText("Guests"), "many");
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    expect(onSave).toHaveBeenCalledWith(
      expect.objectContaining({ kitchen: expect.objectContaining({ guests: "many" }) }),
    );
  });

  test("offers what the machine can do and says why not the rest", async () => {
    const schema = structuredClone(syntheticSchema);
    const { Flavour: flavour } = schema.schema.$defs as Record<string, Record<string, unknown>>;
    if (flavour === undefined) {
      throw new Error("the schema has no flavours");
    }
    flavour.unavailable = { umami: "there is no soy sauce: buy some" };
    flavour.limited = { sour: "cold dishes only; the stove is broken" };
    open({ schema });
    const list = screen.getByLabelText("Flavour");
    expect(within(list).getByRole("option", { name: /^umami \(there is no soy/ })).toBeDisabled();
    expect(within(list).getByRole("option", { name: /^sour \(cold dishes only/ })).toBeEnabled();
  });

  test("adds entries like the default one and removes them", async () => {
    const { user, onSave } = open();
    await user.type(screen.getByLabelText("Dish"), "Soup");
    await user.click(screen.getByRole("button", { name: "Add entry" }));
    await user.type(screen.getAllByLabelText("Dish")[1] as HTMLElement, "Cake");
    await user.click(screen.getByRole("button", { name: "Remove entry 1" }));
    expect(screen.queryByRole("button", { name: "Remove entry 1" })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    expect(onSave).toHaveBeenCalledWith(
      expect.objectContaining({ courses: [{ dish: "Cake", wine: null }] }),
    );
  });

  test("goes back to a default at one click", async () => {
    const { user } = open();
    await user.clear(screen.getByLabelText("Guests"));
    await user.type(screen.getByLabelText("Guests"), "9");
    await user.click(screen.getByRole("button", { name: "Reset to 4: Guests" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("4");
  });
});

describe("validation while typing", () => {
  test("puts each message beside its field and in the list on top, and leads there", async () => {
    server.on("POST /api/jobs/validate", () => ({
      valid: false,
      errors: [
        { ...problem("too_small", "16 is too small.", "kitchen.sizes.0"), hint: "Take 32." },
      ],
      warnings: [
        { ...problem("odd", "Sour soup is unusual.", "kitchen.flavour"), severity: "warning" },
      ],
      advice: [],
    }));
    const { user } = open();
    const link = await screen.findByRole("button", { name: "Go to Kitchen › Sizes" });
    expect(screen.getByText("16 is too small. Take 32.")).toBeVisible();
    expect(screen.getByLabelText("Sizes")).toHaveAccessibleDescription(/16 is too small/);
    expect(screen.getByText("1 problem")).toBeVisible();
    expect(screen.getByRole("button", { name: "Go to Kitchen › Flavour" })).toBeVisible();
    await user.click(link);
    await waitFor(() => expect(screen.getByLabelText("Sizes")).toHaveFocus());
  });

  test("does not scold for what was not reached yet, until queueing is tried", async () => {
    const missing = problem("too_short", "Cook: nothing is not enough.", "kitchen.cook");
    server.on("POST /api/jobs/validate", () => ({
      valid: false,
      errors: [missing],
      warnings: [],
      advice: [],
    }));
    const refused = new ApiError(422, [missing]);
    const { user } = open({ onQueue: vi.fn(async () => Promise.reject(refused)) });
    expect(await screen.findByText("Still to fill in")).toBeVisible();
    expect(screen.getByRole("button", { name: "Go to Kitchen › Cook" })).toBeVisible();
    expect(screen.getByText("1 still to fill in")).toBeVisible();
    expect(screen.queryByText(/nothing is not enough/)).toBeNull();
    await user.click(screen.getByRole("button", { name: "Queue job" }));
    expect(await screen.findAllByText(/nothing is not enough/)).toHaveLength(2);
    expect(screen.getByLabelText("Cook")).toBeInvalid();
  });

  test("calls a blank that checkpoints do not allow an error, not something to fill in", async () => {
    server.on("POST /api/jobs/validate", () => ({
      ...allGood(),
      valid: false,
      errors: [problem("needs_clone", "Timer cannot become blank.", "kitchen.timer")],
    }));
    open();
    expect(await screen.findByText("1 problem")).toBeVisible();
    expect(screen.queryByText("Still to fill in")).toBeNull();
    expect(screen.queryByRole("button", { name: "Clone with these values" })).toBeNull();
  });

  test("believes only the answer to the latest question", async () => {
    const answers: ((verdict: object) => void)[] = [];
    server.on("POST /api/jobs/validate", () => new Promise((resolve) => answers.push(resolve)));
    const { user } = open();
    await waitFor(() => expect(answers).toHaveLength(1));
    await user.click(screen.getByLabelText("Cook"));
    await user.paste("Ada");
    await waitFor(() => expect(answers).toHaveLength(2));
    await act(async () => answers[1]?.(allGood()));
    await screen.findByText("Ready to queue");
    await act(async () =>
      answers[0]?.({
        valid: false,
        errors: [problem("old", "An old answer.")],
        warnings: [],
        advice: [],
      }),
    );
    expect(screen.queryByText("An old answer.")).toBeNull();
    expect(configOf(server.asked("POST /api/jobs/validate")[1]).kitchen?.cook).toBe("Ada");
  });

  test("says so when nobody answers", async () => {
    server.away = true;
    open();
    expect(await screen.findByText("Not checked: the server is not answering.")).toBeVisible();
  });

  test("says so when the server could not work it out, and asks again", async () => {
    let isBroken = true;
    server.on("POST /api/jobs/validate", () =>
      isBroken ? new Refusal(500, [problem("defect", "A defect.")]) : allGood(),
    );
    open();
    expect(await screen.findByText(/the server could not work it out/)).toBeVisible();
    expect(screen.queryByText(/not answering/)).toBeNull();
    isBroken = false;
    expect(await screen.findByText("Ready to queue", {}, { timeout: 4000 })).toBeVisible();
  });

  test("shows what was refused of the check itself", async () => {
    const refused = new Refusal(413, [problem("too_large", "The job is too large.")]);
    server.on("POST /api/jobs/validate", () => refused);
    open();
    expect(await screen.findByText("The job is too large.")).toBeVisible();
    expect(screen.queryByText(/Not checked/)).toBeNull();
  });

  test("shows why queueing was refused and keeps what was typed", async () => {
    const refused = new ApiError(409, [problem("job_name_taken", "Ada is taken.", "kitchen.cook")]);
    const { user } = open({ onQueue: vi.fn(async () => Promise.reject(refused)) });
    await user.type(screen.getByLabelText("Cook"), "Ada");
    await user.click(screen.getByRole("button", { name: "Queue job" }));
    expect((await screen.findAllByText(/Ada is taken\./))[0]).toBeVisible();
    expect(screen.getByLabelText("Cook")).toHaveValue("Ada");
    await user.type(screen.getByLabelText("Cook"), "!");
    expect(screen.queryByText(/Ada is taken\./)).toBeNull();
  });
});

describe("what was typed and not saved", () => {
  test("survives a reload and can be discarded", async () => {
    const first = open();
    await first.user.type(screen.getByLabelText("Cook"), "Ada");
    first.unmount();

    const second = open();
    expect(screen.getByLabelText("Cook")).toHaveValue("Ada");
    expect(screen.getByText(/Restored what you typed/)).toBeVisible();
    await second.user.click(screen.getByRole("button", { name: "Discard" }));
    expect(screen.getByLabelText("Cook")).toHaveValue("");
    second.unmount();

    open();
    expect(screen.queryByText(/Restored what you typed/)).toBeNull();
  });

  test("is forgotten once it is saved", async () => {
    const first = open();
    await first.user.type(screen.getByLabelText("Cook"), "Ada");
    await first.user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() => expect(first.onSave).toHaveBeenCalled());
    first.unmount();
    open();
    expect(screen.getByLabelText("Cook")).toHaveValue("");
  });

  test("is kept where it was typed while the server was still saving", async () => {
    let answer = () => {};
    const onSave = vi.fn(
      () =>
        new Promise<void>((resolve) => {
          answer = resolve;
        }),
    );
    const first = open({ onSave });
    await first.user.type(screen.getByLabelText("Cook"), "Ada");
    await first.user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() => expect(onSave).toHaveBeenCalled());
    await first.user.type(screen.getByLabelText("Cook"), " L.");
    await act(async () => answer());
    expect(screen.getByLabelText("Cook")).toHaveValue("Ada L.");
    expect(screen.getByText("Unsaved changes are kept in this browser.")).toBeVisible();
    first.unmount();
    open();
    expect(screen.getByLabelText("Cook")).toHaveValue("Ada L.");
  });

  test("is not forgotten for another tab that saved its own", async () => {
    const first = open();
    await first.user.type(screen.getByLabelText("Cook"), "Ada");
    storeDraft("new", { kitchen: { cook: "Bob" } }); // by the other tab
    await first.user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() => expect(first.onSave).toHaveBeenCalled());
    first.unmount();
    expect(readDraft("new")?.config).toEqual({ kitchen: { cook: "Bob" } });
  });

  test("belongs to its own form", async () => {
    const first = open({ storageKey: "edit-1" });
    await first.user.type(screen.getByLabelText("Cook"), "Ada");
    first.unmount();
    open({ storageKey: "edit-2" });
    expect(screen.getByLabelText("Cook")).toHaveValue("");
  });
});
