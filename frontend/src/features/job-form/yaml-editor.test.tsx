import { MantineProvider } from "@mantine/core";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { problem, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { JobConfigValue } from "@/api/types";
import { JobForm } from "./job-form";
import { readDraft } from "./stored-draft";
import { lineOf, placeOfLine } from "./yaml-lines";

let server: SmallServer;
const TEXT = "kitchen:\n  cook: Ada\n  guests: 4";

beforeEach(() => {
  server = new SmallServer()
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on("POST /api/jobs/to-yaml", () => ({ text: TEXT }))
    .on("POST /api/jobs/from-yaml", ({ body }) => {
      const { text } = body as { text: string };
      const guests = /guests: (\d+)/.exec(text)?.[1];
      return guests === undefined
        ? {
            config: null,
            errors: [
              { ...problem("bad_yaml", "The text ends too early.", null), params: { line: 3 } },
            ],
            lines: {},
          }
        : {
            config: { kitchen: { cook: "Ada", guests: Number(guests) }, courses: [] },
            errors: [],
            lines: { kitchen: 1, "kitchen.cook": 2, "kitchen.guests": 3 },
          };
    });
});

function open() {
  const onSave = vi.fn(async () => {});
  const page = render(
    <MantineProvider env="test">
      <JobForm
        schema={syntheticSchema}
        storageKey="new"
        saved={syntheticSchema.defaults as JobConfigValue}
        devices={[]}
        renderDatasetPicker={() => null}
        renderAbove={({ onApply }) => (
          <button type="button" onClick={() => onApply("Ada's", { "kitchen.heat": 7 })}>
            Apply
          </button>
        )}
        saveLabel="Save draft"
        queueLabel="Queue job"
        onSave={onSave}
        onQueue={onSave}
      />
    </MantineProvider>,
  );
  return { ...page, onSave, user: userEvent.setup() };
}

const editor = () => screen.findByRole("textbox", { name: "The job as YAML" });

describe("the job as YAML", () => {
  test("is made from the form, and what is typed is in the form", async () => {
    const { user } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    expect(await editor()).toHaveValue(TEXT);
    expect(screen.queryByLabelText("Guests")).toBeNull();
    await user.type(await editor(), "2");
    await user.click(screen.getByRole("radio", { name: "As a form" }));
    expect(await screen.findByLabelText("Guests")).toHaveValue("42");
  });

  test("is not left while it cannot be read, unless it is given up", async () => {
    const { user } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    await user.clear(await editor());
    await user.click(screen.getByRole("radio", { name: "As a form" }));
    const back = await screen.findByRole("button", { name: "Go back to what the form holds" });
    expect(screen.queryByLabelText("Guests")).toBeNull();
    await user.click(back);
    await waitFor(async () => expect(await editor()).toHaveValue(TEXT));
    await user.click(screen.getByRole("radio", { name: "As a form" }));
    expect(await screen.findByLabelText("Guests")).toBeVisible();
  });

  test("says the server's words at the line of their setting, and leads there", async () => {
    server.on("POST /api/jobs/validate", () => ({
      valid: false,
      errors: [problem("too_few", "Four are too few.", "kitchen.guests.3")],
      warnings: [],
      advice: [],
    }));
    const { user } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    const field = (await editor()) as HTMLTextAreaElement;
    const list = await screen.findByRole("list", { name: "What is wrong with the text" });
    expect(within(list).getByText("Four are too few.")).toBeVisible();
    await user.click(await within(list).findByRole("button", { name: "Line 3" }));
    expect(field).toHaveFocus();
    expect(field.value.slice(field.selectionStart, field.selectionEnd)).toBe("  guests: 4");
    await user.click(screen.getByRole("link", { name: /^Kitchen/ }));
    expect(field.value.slice(field.selectionStart, field.selectionEnd)).toBe("kitchen:");
  });

  test("that cannot be read is not saved, says its line, and is still there after a reload", async () => {
    const { user, onSave, unmount } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    const field = await editor();
    await user.clear(field);
    await user.type(field, "kitchen:");
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    expect(await screen.findByRole("button", { name: "Line 3" })).toBeVisible();
    expect(screen.getByText("1 problem")).toBeVisible();
    expect(field).toBeInvalid();
    expect(onSave).not.toHaveBeenCalled();
    unmount();

    const again = open();
    expect(await editor()).toHaveValue("kitchen:");
    await again.user.type(await editor(), "{Enter}  guests: 5");
    await again.user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() =>
      expect(again.onSave).toHaveBeenCalledWith({
        kitchen: { cook: "Ada", guests: 5 },
        courses: [],
      }),
    );
  });
});

describe("what is applied beside the text", () => {
  test("waits until it can be read, and loses nothing that is typed", async () => {
    const { user, onSave } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    const field = await editor();
    await user.clear(field);
    await user.type(field, "kitchen:");
    await user.click(screen.getByRole("button", { name: "Apply" }));
    expect(await screen.findByRole("button", { name: "Line 3" })).toBeVisible();
    expect(await editor()).toHaveValue("kitchen:");
    expect(screen.queryByRole("button", { name: "Undo" })).toBeNull();

    // At once: the pause after which the form would hold it is not over.
    await user.type(field, "{Enter}  guests: 5");
    await user.click(screen.getByRole("button", { name: "Apply" }));
    expect(await screen.findByText("Ada's: 1 setting changed.")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() => expect(onSave).toHaveBeenCalled());
    expect(server.asked("POST /api/jobs/to-yaml").at(-1)?.body).toEqual({
      config: { kitchen: { cook: "Ada", guests: 5, heat: 7 }, courses: [] },
    });
  });
});

describe("while the server is away", () => {
  test("what is typed is still there after a reload, and goes into the form when it is back", async () => {
    const { user, unmount } = open();
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    expect(await editor()).toHaveValue(TEXT);
    server.away = true;
    await user.type(await editor(), "2");
    unmount();

    open();
    expect(await editor()).toHaveValue(`${TEXT}2`);
    expect((await screen.findAllByText("The server is not answering.")).length).toBeGreaterThan(0);
    server.away = false;
    await waitFor(() => expect(screen.queryByText("The server is not answering.")).toBeNull());
    await user.click(screen.getByRole("radio", { name: "As a form" }));
    expect(await screen.findByLabelText("Guests")).toHaveValue("42");
    expect(readDraft("new.yaml")).toBeNull();
  });

  test("the text is made as soon as it is back", async () => {
    const { user } = open();
    server.away = true;
    await user.click(screen.getByRole("radio", { name: "As YAML" }));
    expect(await screen.findByText("The server is not answering.")).toBeVisible();
    server.away = false;
    expect(await editor()).toHaveValue(TEXT);
    expect(screen.queryByText("The server is not answering.")).toBeNull();
  });
});

test("a setting that the text does not have is at the nearest thing around it", () => {
  const lines = { sample: 4, "sample.prompts": 6, "sample.prompts.0": 7 };
  expect(lineOf("sample.prompts.0.prompt", lines)).toBe(7);
  expect(lineOf("sample.prompts.3.prompt", lines)).toBe(6);
  expect(lineOf("save.save_every", lines)).toBeNull();
  expect(lineOf(null, lines)).toBeNull();
});

test("a line's letters are found in the text", () => {
  expect(placeOfLine("ab\ncd\n", 1)).toEqual([0, 2]);
  expect(placeOfLine("ab\ncd", 2)).toEqual([3, 5]);
});
