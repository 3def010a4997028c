import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { sample } from "@tests/examples";
import { cell, changeTo, lightbox, mark, open, removed, samples } from "@tests/gallery";
import { describe, expect, test, vi } from "vitest";

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
