import { MantineProvider } from "@mantine/core";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { JobConfigValue } from "@/api/types";
import type { FormAid } from "./form-aid";
import { JobForm } from "./job-form";
import { PlanPanel } from "./plan-panel";
import { PresetPanel } from "./preset-panel";

const GIB = 1024 ** 3;
let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on("GET /api/presets", () => presets())
    .on("POST /api/jobs/plan", () => ({ devices: [devicePlan()] }));
});

function presets() {
  return {
    card: "Test Card",
    vram_bytes: 24 * GIB,
    tier: "small",
    reason: "Test Card has 24 GB: values for small kitchens.",
    presets: [
      { key: "style", label: "Soup", about: "Hot.", settings: { "kitchen.guests": 8 } },
      {
        key: "edit",
        label: "Salad",
        about: "Cold.",
        settings: { "kitchen.guests": 2, "kitchen.stove": true, "courses.*.wine": "red" },
      },
    ],
    kinds: ["style", "edit"].map((key) => ({
      key,
      label: key,
      images: { lowest: 15, highest: 30 },
      steps: { lowest: 800, highest: 2000 },
      ranks: { lowest: 16, highest: 32 },
    })),
    offers: [],
    variants: [
      { key: "v", label: "Fewer guests", about: "Too loud.", settings: { "kitchen.guests": 3 } },
    ],
  };
}

function devicePlan(changes: object = {}) {
  return {
    device: "GPU-1",
    name: "Test Card",
    vram_bytes: 24 * GIB,
    ram_bytes: 64 * GIB,
    fits: true,
    fits_the_disk: true,
    transformer_offload_percent: 0,
    text_encoder_offload_percent: 0,
    phases: [
      {
        phase: "train",
        label: "Train",
        vram_bytes: 20 * GIB,
        ram_bytes: 2 * GIB,
        parts: [
          { key: "weights", label: "transformer", place: "vram", num_bytes: 18 * GIB },
          { key: "brand_new", label: "something new", place: "vram", num_bytes: 2 * GIB },
          { key: "program", label: "programs", place: "ram", num_bytes: 2 * GIB },
        ],
      },
    ],
    disk: [{ key: "latents", label: "encoded pictures", folder: "cache", num_bytes: 3e9 }],
    shortfalls: [],
    changes: [],
    disk_changes: [],
    time: null,
    ...changes,
  };
}

const tooLarge = () =>
  devicePlan({
    fits: false,
    shortfalls: [
      {
        message: "Train takes 38.4 GB of VRAM, and the card has 24.0 GB.",
        missing: "vram",
        phase: "train",
        folder: null,
        needed_bytes: 38 * GIB,
        available_bytes: 24 * GIB,
      },
    ],
    changes: [
      {
        label: "turn the stove on",
        settings: { "kitchen.stove": true },
        vram_bytes: 23 * GIB,
        ram_bytes: 21 * GIB,
        fits: true,
      },
    ],
  });

function open() {
  const onSave = vi.fn(async () => {});
  render(
    <MantineProvider env="test">
      <JobForm
        schema={syntheticSchema}
        storageKey="new"
        saved={syntheticSchema.defaults as JobConfigValue}
        devices={[]}
        renderDatasetPicker={() => null}
        renderAbove={(aid: FormAid) => <PresetPanel aid={aid} open />}
        renderBeside={(aid: FormAid) => <PlanPanel aid={aid} ramBytes={64 * GIB} />}
        saveLabel="Save draft"
        queueLabel="Queue job"
        onSave={onSave}
        onQueue={vi.fn(async () => {})}
      />
    </MantineProvider>,
  );
  return { user: userEvent.setup(), onSave };
}

describe("presets", () => {
  test("say for which card they are, with the guides' ranges", async () => {
    open();
    expect(await screen.findByText(/values for small kitchens/)).toBeVisible();
    expect(screen.getByText("15–30 pictures")).toBeVisible();
    expect(screen.getByText("15–30 triples")).toBeVisible();
  });

  test("of which there is only one ask for no choice", async () => {
    server.on("GET /api/presets", () => ({ ...presets(), presets: presets().presets.slice(0, 1) }));
    open();
    expect(await screen.findByText(/one preset, whatever is learned/)).toHaveTextContent("Hot.");
    expect(screen.getByRole("table", { name: "What Soup would change" })).toBeVisible();
    expect(screen.queryByRole("radiogroup", { name: "Kind of LoRA" })).toBeNull();
    expect(screen.queryByText(/^Choose what/)).toBeNull();
  });

  test("show what would change, change it at a click, and go back at another", async () => {
    const { user } = open();
    await user.type(screen.getByLabelText("Dish"), "Soup");
    await user.click(await screen.findByRole("radio", { name: "Salad" }));
    const table = screen.getByRole("table", { name: "What Salad would change" });
    const rows = within(table).getAllByRole("row").slice(1);
    expect(rows.map((row) => row.textContent)).toEqual([
      "Kitchen › Guests42",
      "Kitchen › Stoveoffon",
      expect.stringMatching(/Courses › 1 › Wine.*red$/),
    ]);
    await user.click(screen.getByRole("button", { name: "Apply to 3 settings" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("2");
    expect(screen.getByLabelText("Dish")).toHaveValue("Soup");
    expect(screen.getByText("The form has the values of Salad already.")).toBeVisible();
    expect(screen.getByText("Salad: 3 settings changed.")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("4");
    expect(screen.getByLabelText("Stove")).not.toBeChecked();
    expect(screen.getByLabelText("Dish")).toHaveValue("Soup");
  });

  test("offer the guides' variants one click away, each undone by itself", async () => {
    const { user } = open();
    await user.click(await screen.findByText("When it does not go well"));
    expect(screen.getByText("Kitchen › Guests: 4 → 3")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Apply: Fewer guests" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("3");
    await user.click(screen.getByRole("radio", { name: "Soup" }));
    await user.click(screen.getByRole("button", { name: "Apply to 1 setting" }));
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("3");
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("4");
    expect(screen.queryByRole("button", { name: "Undo" })).toBeNull();
  });

  test("can be seen for a card that is not here", async () => {
    const { user } = open();
    await screen.findByRole("radio", { name: "Soup" });
    await user.selectOptions(screen.getByLabelText("Card"), "as if 80 GB");
    await waitFor(() => {
      const [last] = server.asked("GET /api/presets").slice(-1);
      expect(last?.query.get("vram_bytes")).toBe(String(80 * GIB));
    });
  });
});

describe("the memory plan", () => {
  test("says whether it fits, and what each phase is made of", async () => {
    const { user } = open();
    expect(await screen.findByText("Fits Test Card")).toBeVisible();
    expect(screen.getByText("20 GiB of 24 GiB")).toBeVisible();
    await user.click(screen.getByText("Train"));
    const parts = screen.getByRole("table", { name: "Train: what it is made of" });
    expect(within(parts).getByRole("row", { name: /something new VRAM 2.0 GiB/ })).toBeVisible();
    expect(screen.getByText("Time: unknown until a job like this has run here.")).toBeVisible();
  });

  test("makes the smallest change that fits at a click", async () => {
    server.on("POST /api/jobs/plan", () => ({ devices: [tooLarge()] }));
    const { user } = open();
    expect(await screen.findByText("Does not fit Test Card")).toBeVisible();
    expect(screen.getByText(/Train takes 38.4 GB of VRAM/)).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Apply: turn the stove on" }));
    expect(screen.getByLabelText("Stove")).toBeChecked();
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(screen.getByLabelText("Stove")).not.toBeChecked();
  });

  test("a disk that is too small is no fit, and its changes are offered", async () => {
    const message = "The disk of /output has 1.0 GB free, and the job has 9.0 GB to write there.";
    const short = {
      message,
      missing: "disk",
      phase: null,
      folder: "output",
      path: "/output",
      needed_bytes: 9 * GIB,
      available_bytes: GIB,
    };
    const change = {
      label: "turn the stove on",
      settings: { "kitchen.stove": true },
      vram_bytes: 20 * GIB,
      ram_bytes: 2 * GIB,
      fits: true,
    };
    const plan = devicePlan({
      fits_the_disk: false,
      shortfalls: [short],
      disk_changes: [change],
    });
    server.on("POST /api/jobs/plan", () => ({ devices: [plan] }));
    const { user } = open();
    const verdict = await screen.findByText("Fits Test Card, not the disk");
    expect(verdict.closest("[role=status]")).toHaveAttribute("data-tone", "bad");
    expect(screen.getByText(message)).toBeVisible();
    const changes = screen.getByRole("list", { name: "The smallest changes that fit the disk" });
    expect(changes).not.toHaveTextContent("VRAM");
    await user.click(screen.getByRole("button", { name: "Apply: turn the stove on" }));
    expect(screen.getByLabelText("Stove")).toBeChecked();
  });

  test("says what helps where no setting makes room enough on the disk", async () => {
    const plan = devicePlan({ fits_the_disk: false });
    server.on("POST /api/jobs/plan", () => ({ devices: [plan] }));
    open();
    expect(await screen.findByText(/No change of settings makes room enough/)).toBeVisible();
  });

  test("follows what is typed, and only the latest answer counts", async () => {
    const answers: ((plan: object) => void)[] = [];
    server.on("POST /api/jobs/plan", () => new Promise((resolve) => answers.push(resolve)));
    const { user } = open();
    await waitFor(() => expect(answers).toHaveLength(1));
    await user.click(screen.getByLabelText("Stove"));
    await waitFor(() => expect(answers).toHaveLength(2));
    answers[1]?.({ devices: [devicePlan()] });
    expect(await screen.findByText("Fits Test Card")).toBeVisible();
    await act(async () => answers[0]?.({ devices: [tooLarge()] }));
    expect(screen.queryByText("Does not fit Test Card")).toBeNull();
  });

  test("tells two cards of one name apart", async () => {
    const devices = ["GPU-8f3a2b10-1c2d", "GPU-04d1e2f3-5a6b"].map((device) =>
      devicePlan({ device }),
    );
    server.on("POST /api/jobs/plan", () => ({ devices }));
    open();
    expect(await screen.findByText("Fits Test Card (8f3a2b10)")).toBeVisible();
    const choice = screen.getByLabelText("Card to plan for");
    expect(within(choice).getByText(/^Test Card \(04d1e2f3\)/)).toBeInTheDocument();
  });

  test("is worked out for another card, with this machine's memory", async () => {
    const { user } = open();
    await screen.findByText("Fits Test Card");
    await user.selectOptions(screen.getByLabelText("Card to plan for"), "as if 48 GB");
    await waitFor(() => {
      const body = server.asked("POST /api/jobs/plan").slice(-1)[0]?.body as { machine: object };
      expect(body.machine).toEqual({ vram_bytes: 48 * GIB, ram_bytes: 64 * GIB });
    });
  });

  test("tells the time that like jobs took", async () => {
    const time = { seconds: 7500, step_seconds: 3.2, sampling_seconds: null, num_jobs: 2 };
    server.on("POST /api/jobs/plan", () => ({ devices: [devicePlan({ time })] }));
    open();
    expect(await screen.findByText("About 2 h 05 min")).toBeVisible();
    expect(screen.getByText(/3.20 s a step, measured on 2 jobs like this here/)).toBeVisible();
    expect(screen.getByText(/Samples come on top/)).toBeVisible();
  });

  test("waits for values that can be read, and says so when nobody answers", async () => {
    server.on("POST /api/jobs/plan", () => new Refusal(422, [problem("bad", "Bad.")]));
    const { user } = open();
    expect(await screen.findByText(/follows as soon as every setting/)).toBeVisible();
    server.away = true;
    await user.click(screen.getByLabelText("Stove"));
    expect(await screen.findByText("Not planned: the server is not answering.")).toBeVisible();
    server.away = false;
    server.on("POST /api/jobs/plan", () => new Refusal(500, [problem("crash", "Broken.")]));
    await user.click(screen.getByLabelText("Stove"));
    expect(await screen.findByText(/Not planned: the server could not work it out/)).toBeVisible();
  });
});
