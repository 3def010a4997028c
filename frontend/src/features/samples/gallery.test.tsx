import { act, screen, waitFor, within } from "@testing-library/react";
import { sample } from "@tests/examples";
import {
  cell,
  changeTo,
  client,
  lightbox,
  mark,
  open,
  openAt,
  removed,
  samples,
} from "@tests/gallery";
import { describe, expect, test } from "vitest";
import { applyPreview } from "@/api/apply-event";
import { subtract } from "./picture-difference";
import { recipeText } from "./recipe-panel";

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
