import { act, cleanup, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import {
  drawnPicture,
  failure,
  jobSummary,
  lora,
  queueState,
  sample,
  syntheticSchema,
  system,
  trashEntry,
  wholeDrawing,
  wholeJob,
} from "@tests/examples";
import { jobsOf, pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { DrawnPicture } from "@/api/types";
import { App } from "./app";

vi.mock("@/features/jobs/curve-chart", () => ({ default: () => null }));

const inkJob = wholeJob({
  training_name: "ink",
  status: "completed",
  config: {
    job: { trigger_word: "zorvex" },
    model: { model_architecture: "tiny" },
    sample: { prompts: [{ prompt: "[trigger] a fox" }], width: 128 },
  },
});
const ofKlein = lora({
  file: "/o/chalk/chalk.safetensors",
  label: "chalk",
  job_id: 2,
  is_final: true,
  fits: ["klein-4b"],
});
const forecast = {
  device: "cpu",
  name: "Test CPU",
  fits: true,
  vram_bytes: 0,
  ram_bytes: 2 * 1024 ** 3,
  seconds: 40,
  num_pictures_measured: 3,
};

let server: SmallServer;

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/jobs/1", () => inkJob)
    .on("GET /api/queue", () => queueState())
    .on("GET /api/system", () => system)
    .on("GET /api/job-schema", () => syntheticSchema)
    .on("GET /api/drawings", () => pageOf())
    .on("GET /api/loras", () => pageOf(lora(), ofKlein))
    .on("POST /api/drawings/validate", () => verdict());
});

function verdict(...errors: object[]) {
  return { valid: errors.length === 0, errors, warnings: [], forecasts: [forecast] };
}

function open(path: string) {
  window.history.replaceState(null, "", path);
  render(<App env="test" />);
  return userEvent.setup();
}

async function streamed(event: string, data: object, id: number) {
  await waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
  await act(async () => server.stream.send(event, data, id));
}

const strong = (index: number, strength: number): DrawnPicture =>
  drawnPicture(index, { lora: 0, lora_label: "ink, step 250", lora_strength: strength });
const three = [drawnPicture(0), strong(1, 0.5), strong(2, 1)];
const form = () => screen.findByRole("region", { name: "What to draw" });

async function chooseInk(user: ReturnType<typeof userEvent.setup>) {
  await user.click(within(await form()).getByRole("button", { name: "Choose" }));
  await user.click(await screen.findByRole("button", { name: /Step 250/ }));
  await user.click(screen.getByRole("button", { name: "Done" }));
}

describe("the form", () => {
  test("takes model and prompt from the LoRA's job, says what it will take, and draws", async () => {
    server.on("POST /api/drawings", () => wholeDrawing(three, { status: "queued" }));
    server.on("GET /api/drawings/7", () => wholeDrawing(three, { status: "queued" }));
    const user = open("/try");
    await chooseInk(user);
    expect(await screen.findByRole("textbox", { name: "Prompt 1" })).toHaveValue("[trigger] a fox");
    expect(screen.getByText("[trigger] is drawn as zorvex.")).toBeVisible();
    await user.click(screen.getByRole("checkbox", { name: "0.5" }));
    expect(await screen.findByText("3 pictures")).toBeVisible();
    expect(await screen.findByText(/About 40 s, as 3 like pictures took/)).toBeVisible();
    expect(screen.getByText("Starts now.")).toBeVisible();
    await screen.findByText("Ready to draw");
    await user.click(screen.getByRole("button", { name: "Draw" }));
    await waitFor(() => expect(window.location.pathname).toBe("/try/7"));
    const [asked] = server.asked("POST /api/drawings");
    expect(asked?.body).toMatchObject({
      priority: 1,
      config: {
        model: { model_architecture: "tiny" },
        trigger_word: "zorvex",
        loras: [lora().file],
        pictures: [
          { prompt: "[trigger] a fox", width: 128, seed: 42 },
          { lora: 0, lora_strength: 0.5 },
          { lora: 0, lora_strength: 1 },
        ],
      },
    });
  });

  test("takes a number with its thousands apart, and shows what it took", async () => {
    const user = open("/try");
    await chooseInk(user);
    const seed = await screen.findByRole("textbox", { name: "Seed" });
    await user.clear(seed);
    await user.type(seed, "1,234");
    await user.tab();
    expect(seed).toHaveValue("1234");
    await waitFor(() =>
      expect(server.asked("POST /api/drawings/validate").at(-1)?.body).toMatchObject({
        config: { pictures: [{ seed: 1234 }, { seed: 1234 }] },
      }),
    );
  });

  test("asks for the device that was chosen", async () => {
    const user = open("/try");
    await user.click(await screen.findByText("More settings"));
    await chooseInk(user);
    await user.selectOptions(await screen.findByRole("combobox", { name: "GPU" }), "CPU");
    await waitFor(() =>
      expect(server.asked("POST /api/drawings/validate").at(-1)?.body).toMatchObject({
        config: { gpu: "cpu" },
      }),
    );
  });

  test("keeps what was typed over a reload", async () => {
    const user = open("/try");
    await user.type(await screen.findByRole("textbox", { name: "Prompt 1" }), "a hat");
    await chooseInk(user);
    await user.type(screen.getByRole("textbox", { name: "Another strength" }), "0.9{Enter}");
    expect(await screen.findByRole("checkbox", { name: "0.9" })).toBeChecked();
    cleanup();
    open("/try");
    expect(await screen.findByRole("textbox", { name: "Prompt 1" })).toHaveValue("a hat");
    expect(screen.getByRole("checkbox", { name: "0.9" })).toBeChecked();
    expect(screen.getByText("ink, step 250")).toBeVisible();
  });

  test("is filled by a checkpoint that one comes from, and the address is plain again", async () => {
    const user = open("/try?job=1&step=250");
    expect(await screen.findByText("The form is set for ink, step 250.")).toBeVisible();
    expect(await screen.findByText("ink, step 250")).toBeVisible();
    await waitFor(() => expect(window.location.search).toBe(""));
    await user.click(screen.getByRole("button", { name: "Undo" }));
    await waitFor(() => expect(screen.queryByText("ink, step 250")).toBeNull());
  });

  test("takes a picture's recipe along, and the nearest step where that one was not saved", async () => {
    open("/try?job=1&step=300&prompt=a+tower&seed=7&width=64&height=64&lora_strength=0.5");
    expect(await screen.findByText(/this is the nearest: ink, step 250/)).toBeVisible();
    expect(screen.getByRole("textbox", { name: "Prompt 1" })).toHaveValue("a tower");
    expect(screen.getByRole("textbox", { name: "Seed" })).toHaveValue("7");
    expect(screen.getByRole("checkbox", { name: "0.5" })).toBeChecked();
    expect(screen.getByRole("checkbox", { name: "1" })).not.toBeChecked();
  });

  test("offers no LoRA of another base beside the first, and says which base it is for", async () => {
    const user = open("/try");
    await chooseInk(user);
    await user.click(within(await form()).getByRole("button", { name: "Choose" }));
    const other = await screen.findByRole("button", { name: /Final.*for klein-4b/ });
    expect(other).toHaveAttribute("aria-disabled", "true");
    await user.click(other);
    expect(screen.getByText("1 LoRA chosen")).toBeVisible();
  });

  test("shows what the server says of a LoRA at the LoRA, and does not ask in vain", async () => {
    const said = {
      ...problem("lora_of_another_base", "ink was trained on another model.", "model"),
      params: { path: lora().file },
    };
    server.on("POST /api/drawings/validate", () => verdict(said));
    const user = open("/try");
    await chooseInk(user);
    expect(await screen.findByText(/ink was trained on another model/)).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Draw" }));
    expect(server.asked("POST /api/drawings")).toHaveLength(0);
    expect(screen.getByRole("button", { name: "Take ink, step 250 away" })).toHaveFocus();
  });

  test("takes a file of the hub by its name", async () => {
    const user = open("/try");
    await user.click(await screen.findByRole("button", { name: "From the hub" }));
    await user.type(
      screen.getByRole("textbox", { name: /Hugging Face hub/ }),
      "someone/ink/ink.safetensors{Enter}",
    );
    expect(await screen.findByText("someone/ink/ink.safetensors")).toBeVisible();
  });
});

describe("an upload", () => {
  const uploaded = lora({
    file: "loras/uploads/mine.safetensors",
    label: "mine",
    source: "upload",
    job_id: null,
  });
  const file = (name: string) => new File(["content"], name);
  const choose = async (user: ReturnType<typeof userEvent.setup>, ...files: File[]) => {
    await form();
    const input = document.querySelector<HTMLInputElement>('input[accept=".safetensors"]');
    await user.upload(input as HTMLInputElement, files);
  };

  test("is drawn with once it is there", async () => {
    server.on("POST /api/loras", () => uploaded);
    const user = open("/try");
    await choose(user, file("mine.safetensors"));
    expect(await screen.findByRole("button", { name: "Take mine away" })).toBeVisible();
    expect(server.asked("POST /api/loras")[0]?.query.get("name")).toBe("mine.safetensors");
  });

  test("that is refused says so by name, in the server's words", async () => {
    server.on(
      "POST /api/loras",
      () => new Refusal(422, [problem("lora_is_pickle", "mine.safetensors is a pickle.")]),
    );
    const user = open("/try");
    await choose(user, file("mine.safetensors"));
    const alert = await screen.findByRole("alert");
    expect(alert).toHaveTextContent("mine.safetensors was refused");
    expect(alert).toHaveTextContent("mine.safetensors is a pickle.");
    await user.click(screen.getByRole("button", { name: "Close the message on mine.safetensors" }));
    expect(screen.queryByRole("alert")).toBeNull();
  });

  test("whose name is taken can be sent under the next one", async () => {
    server.on("POST /api/loras", ({ query }) =>
      query.get("name") === "mine.safetensors"
        ? new Refusal(409, [problem("lora_name_taken", "There is an upload mine already.")])
        : uploaded,
    );
    const user = open("/try");
    await choose(user, file("mine.safetensors"));
    await user.click(
      await screen.findByRole("button", { name: "Upload it as mine-2.safetensors" }),
    );
    expect(await screen.findByRole("button", { name: "Take mine away" })).toBeVisible();
  });

  test("is deleted after a question", async () => {
    server
      .on("GET /api/loras", () => pageOf(uploaded))
      .on("DELETE /api/loras/lora.safetensors", () => undefined);
    const user = open("/try");
    await user.click(within(await form()).getByRole("button", { name: "Choose" }));
    await user.click(await screen.findByRole("button", { name: "Delete the upload mine" }));
    await user.click(await screen.findByRole("button", { name: "Delete upload" }));
    await waitFor(() => expect(server.asked("DELETE /api/loras/lora.safetensors")).toHaveLength(1));
  });
});

test("reference images are uploaded and shown to every prompt", async () => {
  server.on("POST /api/references", () => ({
    name: ".references/cat.png",
    width: 64,
    height: 64,
    url: "/api/datasets/.references/pictures/cat.png?side=256",
  }));
  const user = open("/try?job=1");
  await screen.findByText(/The form is set for/);
  const input = document.querySelector<HTMLInputElement>('input[accept="image/*"]');
  await user.upload(input as HTMLInputElement, new File(["x"], "cat.png", { type: "image/png" }));
  expect(
    await screen.findByRole("button", { name: "Take the reference .references/cat.png away" }),
  ).toBeInTheDocument();
  await waitFor(() => {
    const asked = server.asked("POST /api/drawings/validate").at(-1)?.body as {
      config: { pictures: { control_images: string[] }[] };
    };
    expect(asked.config.pictures[0]?.control_images).toEqual([".references/cat.png"]);
  });
});

describe("a drawing", () => {
  const at = (changes = {}) => {
    server.on("GET /api/drawings/7", () => wholeDrawing(three, changes));
    return open("/try/7");
  };

  test("fills while it is drawn, picture by picture", async () => {
    at();
    const grid = await screen.findByRole("grid", { name: /Drawn pictures/ });
    expect(within(grid).getAllByText("Waiting")).toHaveLength(3);
    await streamed("preview", { job_id: 7, step: 0, prompt_index: 0, done: 2, total: 8 }, 1);
    expect(await within(grid).findByText("2 / 8")).toBeVisible();
    await streamed("sample", { ...sample(31, 0, 0, "a fox"), job_id: 7 }, 2);
    expect(await screen.findByRole("button", { name: "Open prompt 1, base" })).toBeVisible();
    await streamed("sample", { ...sample(32, 0, 1, "a fox"), job_id: 7 }, 3);
    expect(
      await screen.findByRole("button", { name: "Open prompt 1, strength 0.5" }),
    ).toBeVisible();
    expect(screen.getByText(/2.of.3.pictures/)).toBeVisible();
  });

  test("that waits says for what", async () => {
    server.on(
      "GET /api/jobs",
      jobsOf(jobSummary({ id: 1, training_name: "ink", status: "running" })),
    );
    server.on("GET /api/jobs/1", () => ({
      ...inkJob,
      runs: [{ id: 1, number: 1, device: "cpu" }],
    }));
    at({ status: "queued", waits_for: "device", queue_position: 1 });
    expect(await screen.findAllByText("Waits until ink on the CPU ends.")).not.toHaveLength(0);
  });

  test("that failed says why, there and in each place that is empty", async () => {
    const failed = three.map((one) => ({
      ...one,
      state: "failed" as const,
      message: "The device has no memory left.",
    }));
    server
      .on("GET /api/jobs/7", () => wholeJob({ id: 7, kind: "drawing", status: "failed" }))
      .on("GET /api/jobs/7/failure", () => failure())
      .on("POST /api/jobs/7/queue", () => wholeJob({ id: 7, kind: "drawing", status: "queued" }));
    server.on("GET /api/drawings/7", () => wholeDrawing(failed, { status: "failed" }));
    const user = open("/try/7");
    expect(await screen.findByRole("heading", { name: "The drawing failed" })).toBeVisible();
    expect(await screen.findByText(/Another program held a part of it/)).toBeVisible();
    expect(screen.getAllByText("Not drawn: The device has no memory left.")).toHaveLength(3);
    await user.click(screen.getByRole("button", { name: "Draw what is missing" }));
    await waitFor(() => expect(server.asked("POST /api/jobs/7/queue")).toHaveLength(1));
  });

  test("is deleted at once and comes back at a press", async () => {
    const drawing = wholeDrawing(three, { status: "completed" });
    let isThere = true;
    server
      .on("GET /api/drawings", () => (isThere ? pageOf(drawing) : pageOf()))
      .on("DELETE /api/jobs/7", () => {
        isThere = false;
        return undefined;
      })
      .on("GET /api/trash", () => pageOf(trashEntry({ id: "t", training_name: "drawing-0001" })))
      .on("POST /api/trash/t/restore", () => {
        isThere = true;
        return { job_id: 7 };
      });
    const user = at({ status: "completed" });
    const card = await screen.findByRole("link", { name: "Open drawing-0001" });
    expect(card).toHaveAttribute("aria-current", "true");
    await user.click(screen.getByRole("button", { name: "Delete drawing-0001" }));
    await waitFor(() => expect(window.location.pathname).toBe("/try"));
    expect(server.asked("DELETE /api/jobs/7")[0]?.query.get("files")).toBe("true");
    await waitFor(() => expect(screen.queryByRole("link", { name: /Open drawing/ })).toBeNull());
    await user.click(await screen.findByRole("button", { name: "Undo" }));
    expect(await screen.findByRole("link", { name: "Open drawing-0001" })).toBeVisible();
  });

  test("is found from the queue, and by its number as a job", async () => {
    server
      .on("GET /api/queue", () => queueState({ num_drawings: { queued: 1, completed: 3 } }))
      .on("GET /api/jobs", jobsOf(jobSummary({ status: "completed" })))
      .on("GET /api/jobs/7", () => wholeJob({ id: 7, kind: "drawing" }))
      .on("GET /api/drawings/7", () => wholeDrawing(three));
    open("/");
    expect(await screen.findByRole("link", { name: "1 drawing" })).toHaveAttribute("href", "/try");
    cleanup();
    open("/jobs/7");
    await waitFor(() => expect(window.location.pathname).toBe("/try/7"));
  });

  test("does not promise to delete a single picture", async () => {
    const [base, ...others] = three;
    const pictures = [{ ...base, state: "drawn", sample: sample(31, 0, 0, "a fox") }, ...others];
    const user = at({ pictures });
    expect(await screen.findByText(/^In the grid: .* through its steps\.$/)).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Open prompt 1, base" }));
    const box = await screen.findByRole("dialog", { name: "Sample" });
    await user.click(within(box).getByText("Keys"));
    expect(within(box).getByText("star it")).toBeVisible();
    expect(within(box).queryByText(/Delete/)).toBeNull();
  });

  test("of several LoRAs lays strengths or LoRAs across, also without the base model", async () => {
    const loras = ["ink", "chalk"].map((label) => ({ file: `/${label}`, label }));
    const pictures = [0, 1].flatMap((place) =>
      [0.5, 1, 1.25].map((strength, column) => ({
        ...strong(place * 3 + column, strength),
        lora: place,
      })),
    );
    server.on("GET /api/drawings/7", () => wholeDrawing(pictures, { loras }));
    const user = open("/try/7");
    expect(await screen.findByRole("columnheader", { name: "Strength 1.25" })).toBeVisible();
    await user.click(screen.getByRole("radio", { name: "LoRAs" }));
    expect(await screen.findByRole("columnheader", { name: "chalk" })).toBeVisible();
  });

  test("of one LoRA has nothing else to lay across", async () => {
    at();
    expect(await screen.findByRole("columnheader", { name: "Strength 0.5" })).toBeVisible();
    expect(screen.queryByRole("radio", { name: "LoRAs" })).toBeNull();
  });

  test("can be changed and drawn again", async () => {
    const user = at({ status: "completed" });
    await user.click(await screen.findByRole("button", { name: "Change and draw again" }));
    expect(await screen.findByRole("textbox", { name: "Prompt 1" })).toHaveValue("a fox");
    expect(screen.getByRole("checkbox", { name: "0.5" })).toBeChecked();
  });
});
