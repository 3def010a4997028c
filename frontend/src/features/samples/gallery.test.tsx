import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { sample } from "@tests/examples";
import { useState } from "react";
import { describe, expect, test, vi } from "vitest";
import { applyPreview } from "@/api/apply-event";
import { LiveProvider } from "@/api/live";
import type { Sample } from "@/api/types";
import { Gallery } from "./gallery";
import type { GalleryJob } from "./gallery-model";
import { subtract } from "./picture-difference";
import { recipeText } from "./recipe-panel";

const STEPS = [0, 50, 100];
const samples = STEPS.flatMap((step, column) =>
  ["a fox", "a hat"].map((prompt, row) => sample(column * 2 + row + 1, step, row, prompt)),
);

const mark = vi.fn();

const client = new QueryClient();

const nothing = () => {};

/** As the page has it: what is deleted is gone at once, and so is a star. */
function Page({ jobs, step }: { jobs: GalleryJob[]; step: number | null }) {
  const [gone, setGone] = useState<number[]>([]);
  const [starred, setStarred] = useState<Record<number, boolean>>({});
  const marked = (one: Sample) => ({ ...one, is_starred: starred[one.id] ?? one.is_starred });
  const left = jobs.map((job) => ({
    ...job,
    samples: job.samples.filter(({ id }) => !gone.includes(id)).map(marked),
  }));
  return (
    <Gallery
      jobs={left}
      step={step}
      onMark={(picture, marks) => {
        mark(picture, marks);
        setStarred((before) => ({ ...before, [picture.id]: marks.starred ?? picture.is_starred }));
      }}
      onRemove={(pictures) => {
        removed(pictures.map(({ jobId, sample: { id } }) => [jobId, id]));
        setGone((before) => [...before, ...pictures.map(({ sample: { id } }) => id)]);
      }}
    />
  );
}

const removed = vi.fn();

function open(change: Partial<GalleryJob> = {}, ...others: GalleryJob[]) {
  return openAt(null, change, ...others);
}

function openAt(step: number | null, change: Partial<GalleryJob> = {}, ...others: GalleryJob[]) {
  const job: GalleryJob = { id: 1, name: "ink", samples, failures: [], ...change };
  page = render(pageOf([job, ...others], step));
  return userEvent.setup();
}

/** The same page after its jobs have changed elsewhere. */
function changeTo(change: Partial<GalleryJob>) {
  const job: GalleryJob = { id: 1, name: "ink", samples, failures: [], ...change };
  page.rerender(pageOf([job], null));
}

let page: ReturnType<typeof render>;

const pageOf = (jobs: GalleryJob[], step: number | null) => (
  <MantineProvider env="test">
    <QueryClientProvider client={client}>
      <LiveProvider onStatusMoved={nothing} onAlarm={nothing} onUnauthorized={nothing}>
        <Page jobs={jobs} step={step} />
      </LiveProvider>
    </QueryClientProvider>
  </MantineProvider>
);

const cell = (name: string) => screen.getByRole("button", { name });
const lightbox = () => screen.findByRole("dialog", { name: "Sample" });

describe("the grid", () => {
  test("is walked by arrow keys with one tab stop, and Enter opens what has the focus", async () => {
    const user = open();
    const grid = screen.getByRole("grid");
    expect(grid).toHaveAttribute("aria-rowcount", "3");
    expect(grid).toHaveAttribute("aria-colcount", "4");
    expect(grid.querySelectorAll('[data-cell][tabindex="0"]')).toHaveLength(1);
    cell("Open prompt 1, base").focus();
    await user.keyboard("{ArrowRight}{ArrowDown}");
    await waitFor(() => expect(cell("Open prompt 2, step 50")).toHaveFocus());
    await user.keyboard("{End}{ArrowRight}{Control>}{Home}{/Control}{ArrowRight}{Enter}");
    const box = await lightbox();
    expect(within(box).getByRole("img", { name: "Step 50: a fox" })).toBeVisible();
  });

  test("says what failed and why, and what a resume set aside", () => {
    open({
      samples: [...samples, { ...sample(90, 100, 0, "a fox"), superseded_by: 2 }],
      failures: [{ step: 150, promptIndex: 1, prompt: "a hat", message: "No memory was left." }],
    });
    expect(screen.getByText("Not drawn: No memory was left.")).toBeInTheDocument();
    expect(cell("Open prompt 1, step 100, set aside by run 2")).toBeVisible();
  });

  test("lays two jobs under one prompt, each by its name", () => {
    const other = {
      ...sample(70, 50, 4, "a fox"),
      thumbnail_url: "/api/jobs/2/samples/70/thumbnail?v=70",
    };
    open({}, { id: 2, name: "chalk", samples: [other], failures: [] });
    expect(cell("Open prompt 1, step 50, ink")).toBeVisible();
    expect(cell("Open prompt 1, step 50, chalk")).toBeVisible();
  });

  test("shows only the prompts that were asked for, and all again", async () => {
    const user = open();
    await user.type(screen.getByLabelText("Find prompts and notes"), "fox");
    await waitFor(() => expect(screen.queryByText("a hat")).toBeNull());
    expect(screen.getByText("3 of 6 pictures")).toBeVisible();
    await user.type(screen.getByLabelText("Find prompts and notes"), "es");
    await user.click(await screen.findByRole("button", { name: "Show all" }));
    expect(await screen.findByText("6 pictures")).toBeVisible();
  });

  test("offers what is selected as an archive, and compares two", async () => {
    const user = open();
    cell("Open prompt 1, base").focus();
    await user.keyboard("x{ArrowRight}{ArrowRight}x");
    expect(await screen.findByText("2 pictures selected")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Download" }));
    expect(await screen.findByRole("menuitem", { name: "The 2 selected" })).toHaveAttribute(
      "href",
      "/api/jobs/1/samples.zip?ids=1,5",
    );
    await user.keyboard("{Escape}");
    await user.click(screen.getByRole("button", { name: "Compare the two" }));
    const box = await lightbox();
    expect(within(box).getByText("Compared with base")).toBeVisible();
    expect(within(box).getAllByRole("img")).toHaveLength(2);
  });
});

test("shows what is being drawn where it will stand, and how far it is", async () => {
  const preview = { job_id: 1, step: 150, prompt_index: 1, prompt: "a hat", done: 7, total: 20 };
  applyPreview(client, 1, preview);
  open({
    drawing: { jobId: 1, step: 150, promptIndex: 1, prompt: "a hat" },
    round: { step: 150, prompts: ["a fox", "a hat"] },
  });
  const bar = screen.getByRole("progressbar", { name: "Drawing" });
  expect(bar).toHaveAttribute("aria-valuenow", "7");
  const row = bar.closest('[role="row"]') as HTMLElement;
  expect(within(row).getByText("a hat")).toBeInTheDocument();
  expect(screen.getByRole("columnheader", { name: "Step 150" })).toBeInTheDocument();
  expect(screen.getByText("Waiting").closest('[role="row"]')).toHaveTextContent("a fox");
  expect(screen.queryByText("Not drawn")).toBeNull();
  act(() => applyPreview(client, 1, { ...preview, done: 8 }));
  await waitFor(() => expect(bar).toHaveAttribute("aria-valuenow", "8"));
  expect(screen.getByText("8 / 20")).toBeVisible();
});

test("marks a picture that has a note, and finds it by the note's words", async () => {
  const noted = samples.map((one) => (one.id === 4 ? { ...one, note: "best hands" } : one));
  const user = open({ samples: noted });
  const mark = screen.getByText("Has a note");
  expect(within(mark.closest('[role="gridcell"]') as HTMLElement).getByTitle("best hands")).toBe(
    cell("Open prompt 2, step 50"),
  );
  await user.type(screen.getByLabelText("Find prompts and notes"), "hands");
  await waitFor(() => expect(screen.queryByText("a fox")).toBeNull());
  expect(screen.getByText("2 of 6 pictures")).toBeVisible();
});

describe("a picture that leaves the gallery while it is looked at", () => {
  test("gives way to its neighbour, and the lightbox closes when none is left", async () => {
    const user = open({ samples: samples.map((one) => ({ ...one, is_starred: one.id >= 5 })) });
    await user.click(screen.getByRole("checkbox", { name: "Starred" }));
    await waitFor(() => expect(screen.getByText("4 of 6 pictures")).toBeVisible());
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.keyboard("2");
    expect(await within(box).findByText("Compared with base")).toBeVisible();
    await user.keyboard("s");
    expect(await within(await lightbox()).findByText("a hat")).toBeVisible();
    await user.keyboard("s");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    await waitFor(() => expect(screen.getByRole("button", { name: "Show all" })).toHaveFocus());
    await user.keyboard("{Enter}");
    expect(await screen.findByText("6 pictures")).toBeVisible();
    cell("Open prompt 1, base").focus();
    await user.keyboard("{ArrowDown}");
    await waitFor(() => expect(cell("Open prompt 2, base")).toHaveFocus());
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  test("is followed to where a resume has set it aside", async () => {
    const user = open();
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    changeTo({
      samples: samples.map((one) => (one.id === 5 ? { ...one, superseded_by: 2 } : one)),
    });
    expect(
      await within(box).findByRole("heading", { name: "Step 100, Set aside by run 2" }),
    ).toBeVisible();
  });

  test("hands the focus to the grid when it was deleted elsewhere and is the last", async () => {
    const alone = samples.slice(0, 1);
    const failures = [{ step: 50, promptIndex: 0, prompt: "a fox", message: "No memory." }];
    const user = open({ samples: alone, failures });
    await user.click(cell("Open prompt 1, base"));
    await lightbox();
    changeTo({ samples: [], failures });
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    await waitFor(() => expect(document.activeElement).toHaveAttribute("data-cell"));
  });
});

test("P plays a prompt from its first picture where there is none", async () => {
  const user = open({ samples: samples.filter(({ id }) => id !== 5) });
  cell("Open prompt 1, step 50").focus();
  await user.keyboard("{ArrowRight}");
  await waitFor(() => expect(screen.getByText("Not drawn")).toHaveFocus());
  await user.keyboard("p");
  expect(within(await lightbox()).getByRole("slider", { name: "Step shown" })).toBeVisible();
});

test("opens at the step that was asked for, beside the base, and shows all when told to", async () => {
  const user = openAt(50);
  expect(screen.getAllByRole("columnheader").map((head) => head.textContent)).toEqual([
    "Prompt",
    "Base",
    "Step 50",
  ]);
  expect(screen.getByText("4 of 6 pictures")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Show all" }));
  expect(await screen.findByText("6 pictures")).toBeVisible();
});

test("deletes what has the focus, what is selected and what is open, and keeps the focus", async () => {
  removed.mockClear();
  const user = open();
  cell("Open prompt 1, base").focus();
  await user.keyboard("{ArrowRight}");
  await waitFor(() => expect(cell("Open prompt 1, step 50")).toHaveFocus());
  await user.keyboard("{Delete}");
  await waitFor(() => expect(screen.getByText("Not drawn")).toHaveFocus());
  await user.keyboard("{Delete}{ArrowDown}");
  await waitFor(() => expect(cell("Open prompt 2, step 50")).toHaveFocus());
  await user.keyboard("x{ArrowRight}x");
  await user.click(await screen.findByRole("button", { name: "Delete 2 pictures" }));
  await waitFor(() => expect(screen.queryByText("2 pictures selected")).toBeNull());
  await user.click(cell("Open prompt 1, step 100"));
  await user.keyboard("{Delete}");
  const box = await lightbox();
  expect(within(box).getByRole("heading", { name: "Base" })).toBeVisible();
  await user.click(within(box).getByRole("button", { name: "Delete" }));
  expect(await within(box).findByText("a hat")).toBeVisible();
  await user.click(within(box).getByRole("button", { name: "Delete" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(removed.mock.calls.map(([pictures]) => pictures)).toEqual([
    [[1, 3]],
    [
      [1, 4],
      [1, 6],
    ],
    [[1, 5]],
    [[1, 1]],
    [[1, 2]],
  ]);
});

test("keeps the focus where it is while a picture goes, comes back and goes again", () => {
  open();
  cell("Open prompt 1, step 50").focus();
  const without = samples.filter(({ id }) => id !== 3);
  changeTo({ samples: without });
  expect(screen.getByText("Not drawn")).toHaveFocus();
  changeTo({ samples });
  expect(cell("Open prompt 1, step 50")).toHaveFocus();
  changeTo({ samples: without });
  expect(screen.getByText("Not drawn")).toHaveFocus();
});

test("S stars, in the grid and in the lightbox, and a note is kept when the field is left", async () => {
  mark.mockClear();
  const starred = samples.map((one) => ({ ...one, is_starred: one.id === 3 }));
  const user = open({ samples: starred });
  expect(screen.getByText(/^In the grid: .*, Delete deletes\.$/)).toBeVisible();
  cell("Open prompt 1, base").focus();
  await user.keyboard("s{ArrowRight}{Enter}");
  const box = await lightbox();
  const star = within(box).getByRole("button", { name: "Star this picture" });
  expect(star).toHaveAttribute("aria-pressed", "true");
  await user.keyboard("s");
  await user.type(within(box).getByRole("textbox", { name: "Note" }), "bees");
  await user.tab();
  expect(mark.mock.calls.map(([sample, marks]) => [sample.id, marks])).toEqual([
    [1, { starred: true }],
    [3, { starred: false }],
    [3, { note: "bees" }],
  ]);
});

test("says of a picture that cannot be read so after some tries, in the grid and large", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  try {
    const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
    open();
    const failsIn = async (box: HTMLElement, name: string) => {
      const image = () => within(box).getByRole("img", { name });
      for (const pause of [1000, 2000, 4000]) {
        fireEvent.error(image());
        expect(within(box).queryByText("The picture cannot be read")).toBeNull();
        await act(async () => vi.advanceTimersByTime(pause));
      }
      fireEvent.error(image());
      expect(within(box).getByText("The picture cannot be read")).toBeVisible();
    };
    await failsIn(cell("Open prompt 1, step 50"), "Step 50: a fox");
    await user.click(cell("Open prompt 1, step 50"));
    await failsIn(await lightbox(), "Step 50: a fox");
  } finally {
    vi.useRealTimers();
  }
});

test("says of a difference that a picture cannot be read after some tries, not at the first", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const decode = vi.fn(() => Promise.reject(new DOMException("", "EncodingError")));
  Object.assign(HTMLImageElement.prototype, { decode });
  try {
    const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
    open();
    await user.click(cell("Open prompt 1, step 50"));
    const box = await lightbox();
    await user.keyboard("5");
    await waitFor(() => expect(decode).toHaveBeenCalledTimes(2));
    for (const pause of [1000, 2000, 4000]) {
      await act(async () => vi.advanceTimersByTimeAsync(0));
      expect(within(box).queryByText("One of the pictures cannot be read.")).toBeNull();
      await act(async () => vi.advanceTimersByTimeAsync(pause));
    }
    expect(await within(box).findByText("One of the pictures cannot be read.")).toBeVisible();
    expect(decode).toHaveBeenCalledTimes(8);
  } finally {
    Reflect.deleteProperty(HTMLImageElement.prototype, "decode");
    vi.useRealTimers();
  }
});

describe("a note that is being typed", () => {
  const notes = () => mark.mock.calls.map(([{ id }, marks]) => [id, marks]);
  const field = (box: HTMLElement) => within(box).getByRole("textbox", { name: "Note" });

  test("is kept when Escape closes the lightbox, and once when it is left before", async () => {
    mark.mockClear();
    const user = open();
    await user.click(cell("Open prompt 1, step 50"));
    await user.type(field(await lightbox()), "bees{Escape}");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(notes()).toEqual([[3, { note: "bees" }]]);
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.type(field(box), "wasps");
    await user.click(within(box).getByRole("button", { name: "Close" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(notes().slice(1)).toEqual([[5, { note: "wasps" }]]);
  });

  test("stops the playing, so that its letters stay letters", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    try {
      mark.mockClear();
      const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
      open();
      cell("Open prompt 1, step 50").focus();
      await user.keyboard("p");
      const box = await lightbox();
      await user.type(field(box), "be");
      const frame = () => within(box).getByRole<HTMLInputElement>("slider").value;
      const shown = frame();
      await act(async () => vi.advanceTimersByTime(5000));
      await user.keyboard("es");
      expect(frame()).toBe(shown);
      expect(field(box)).toHaveFocus();
      expect(field(box)).toHaveValue("bees");
      expect(mark).not.toHaveBeenCalled();
    } finally {
      vi.useRealTimers();
    }
  });

  test("is kept for its picture when that leaves the filter", async () => {
    mark.mockClear();
    const starred = (ids: number[]) =>
      samples.map((one) => ({ ...one, is_starred: ids.includes(one.id) }));
    const user = open({ samples: starred([3, 5]) });
    await user.click(screen.getByRole("checkbox", { name: "Starred" }));
    await user.click(await screen.findByRole("button", { name: "Open prompt 1, step 100" }));
    const box = await lightbox();
    await user.type(field(box), "bees");
    changeTo({ samples: starred([3]) });
    expect(await within(box).findByRole("heading", { name: "Step 50" })).toBeVisible();
    expect(notes()).toEqual([[5, { note: "bees" }]]);
    expect(field(box)).toHaveValue("");
  });
});

describe("the lightbox", () => {
  test("moves the divider by arrow keys and walks the grid when it has not the focus", async () => {
    const user = open();
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.keyboard("3");
    const divider = await within(box).findByRole("slider", { name: /Divider/ });
    expect(divider).toHaveFocus();
    await user.keyboard("{ArrowRight}{Shift>}{ArrowRight}{/Shift}");
    expect(divider).toHaveAttribute("aria-valuenow", "61");
    await user.keyboard("{End}{ArrowLeft}");
    expect(divider).toHaveAttribute("aria-valuenow", "99");
    divider.blur();
    await user.keyboard("{ArrowLeft}");
    expect(within(box).getByRole("heading", { name: "Step 50" })).toBeVisible();
  });

  test("compares with the base model unless told otherwise", async () => {
    const user = open();
    await user.click(cell("Open prompt 1, step 50"));
    const box = await lightbox();
    await user.keyboard("2");
    expect(await within(box).findByText("Compared with base")).toBeVisible();
    await user.keyboard("c{ArrowRight}");
    expect(await within(box).findByText("Compared with step 50")).toBeVisible();
    await user.click(within(box).getByRole("button", { name: "Compare with the base" }));
    expect(await within(box).findByText("Compared with base")).toBeVisible();
  });

  test("stars and deletes the picture that is in view", async () => {
    mark.mockClear();
    removed.mockClear();
    const user = open();
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.click(within(box).getByRole("button", { name: "Show the base model's" }));
    expect(within(box).getByRole("img", { name: "Base: a fox" })).toBeVisible();
    await user.keyboard("s{Delete}");
    expect(mark.mock.calls.map(([{ id }, marks]) => [id, marks])).toEqual([[1, { starred: true }]]);
    expect(removed.mock.calls).toEqual([[[[1, 1]]]]);
    expect(within(box).getByRole("img", { name: "Step 100: a fox" })).toBeVisible();
    await user.keyboard("{Delete}");
    expect(removed.mock.calls.at(-1)).toEqual([[[1, 5]]]);
    expect(within(box).getByRole("img", { name: "Step 50: a fox" })).toBeVisible();
  });

  test("is about the picture that was walked to where two are in view", async () => {
    removed.mockClear();
    const user = open();
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.click(within(box).getByRole("button", { name: "Show the base model's" }));
    await user.keyboard("2");
    expect(await within(box).findByRole("heading", { name: "Step 100" })).toBeVisible();
    await user.keyboard("{Delete}");
    expect(removed.mock.calls).toEqual([[[[1, 5]]]]);
  });

  test("shows the other one that was chosen, and calls it that", async () => {
    const user = open();
    await user.click(cell("Open prompt 1, step 50"));
    const box = await lightbox();
    await user.keyboard("c{ArrowRight}");
    expect(within(box).getByRole("heading", { name: "Step 100" })).toBeVisible();
    await user.click(within(box).getByRole("button", { name: "Show the other" }));
    expect(within(box).getByRole("heading", { name: "Step 50" })).toBeVisible();
    expect(within(box).queryByRole("button", { name: "Show the base model's" })).toBeNull();
  });

  test("compares the next ones with the picture in view", async () => {
    const user = open();
    await user.click(cell("Open prompt 1, step 100"));
    const box = await lightbox();
    await user.click(within(box).getByRole("button", { name: "Show the base model's" }));
    await user.keyboard("c{ArrowLeft}2");
    expect(await within(box).findByText("Compared with base")).toBeVisible();
  });

  test("names the job whose base model's picture it compares with", async () => {
    const of = (job: number, id: number, step: number) => ({
      ...sample(id, step, 0, "a fox"),
      thumbnail_url: `/api/jobs/${job}/samples/${id}/thumbnail`,
    });
    const chalk = { id: 2, name: "chalk", samples: [of(2, 70, 0), of(2, 71, 50)], failures: [] };
    const user = open({ samples: [of(1, 60, 50)] }, chalk);
    await user.click(cell("Open prompt 1, step 50, ink"));
    const box = await lightbox();
    await user.keyboard("2");
    expect(await within(box).findByText("Compared with base, chalk")).toBeVisible();
    expect(within(box).getByRole("img", { name: "Base, chalk: a fox" })).toBeVisible();
  });

  test("plays a prompt through its steps and stops when one is chosen", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    try {
      const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
      open();
      await user.click(cell("Open prompt 1, base"));
      const box = await lightbox();
      await user.keyboard("p");
      const scrub = within(box).getByRole("slider", { name: "Step shown" });
      await waitFor(() => expect(scrub).toHaveAttribute("aria-valuetext", "Step 50, 2 of 3"));
      await waitFor(() => expect(scrub).toHaveAttribute("aria-valuetext", "Step 100, 3 of 3"));
      await waitFor(() => expect(scrub).toHaveAttribute("aria-valuetext", "Base, 1 of 3"));
      await user.click(within(box).getByRole("button", { name: "Step 100" }));
      expect(within(box).getByRole("button", { name: "Play" })).toBeVisible();
      vi.advanceTimersByTime(5000);
      expect(scrub).toHaveAttribute("aria-valuetext", "Step 100, 3 of 3");
    } finally {
      vi.useRealTimers();
    }
  });
});

test("a difference is black where two pictures are equal, and says how far they are apart", () => {
  const one = new Uint8ClampedArray([10, 200, 0, 255, 7, 7, 7, 255]);
  const other = new Uint8ClampedArray([10, 100, 60, 255, 7, 7, 7, 255]);
  const result = new Uint8ClampedArray(8);
  expect(subtract(one, other, result, 4)).toBeCloseTo(160 / (2 * 3 * 255));
  expect([...result]).toEqual([0, 255, 240, 255, 0, 0, 0, 255]);
});

test("a recipe as text holds what an entry of Prompts takes", () => {
  const text = recipeText({ ...sample(1, 50, 0, 'say "cheese"'), lora_strength: 0.5 });
  expect(text.split("\n").slice(0, 2)).toEqual(['prompt: "say \\"cheese\\""', "seed: 42"]);
  expect(text).toContain("lora_strength: 0.5");
});
