import { MantineProvider } from "@mantine/core";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { syntheticSchema } from "@tests/examples";
import { expect, test } from "vitest";
import type { JobConfigValue } from "@/api/types";
import { Comparison } from "./comparison";

const one = {
  kitchen: { cook: "Ada", heat: 0.0001, stove: true, flavour: "sweet", timer: null },
  courses: [{ dish: "Soup", wine: null }],
};

function open(other: JobConfigValue) {
  render(
    <MantineProvider env="test">
      <Comparison
        schema={syntheticSchema}
        one={{ name: "lunch", config: one }}
        other={{ name: "dinner", config: other }}
      />
    </MantineProvider>,
  );
  return userEvent.setup();
}

const rows = () =>
  screen
    .getAllByRole("rowheader")
    .map((cell) =>
      [...(cell.closest("tr")?.children ?? [])].map(({ textContent }) => textContent).join(" | "),
    );

test("two jobs differ by what is set differently, in the form's words, entry by entry", () => {
  open({
    kitchen: { cook: "Ada", heat: 0.002, stove: false, flavour: "sour", timer: 30 },
    courses: [
      { dish: "Soup", wine: "red" },
      { dish: "Cake", wine: null },
    ],
  });
  expect(screen.getByRole("heading", { name: "7 settings differ" })).toBeVisible();
  expect(rows()).toEqual([
    "Kitchen",
    "Heat | 1e-4 | 0.002",
    "Stove | on | off",
    "Flavour | Sweet as honey | sour",
    "Timer | blank = never | 30",
    "Courses",
    "1 › Wine | blank | red",
    "2 › Dish | not there | Cake",
    "2 › Wine | not there | blank",
  ]);
});

test("what a draft does not say is its default, and everything is shown when asked", async () => {
  const user = open({ kitchen: { ...one.kitchen, guests: 4 }, courses: one.courses });
  expect(screen.getByText("Both jobs have the same settings.")).toBeVisible();
  await user.click(screen.getByLabelText("Show all settings"));
  expect(within(screen.getByRole("table")).getByText("Guests")).toBeVisible();
  expect(rows()).toContain("Guests | 4 | 4");
});

test("a list that a draft leaves out is an empty one", () => {
  const schema = structuredClone(syntheticSchema);
  const course = (schema.schema as { $defs: Record<string, { properties: object }> }).$defs.Course;
  Object.assign(course?.properties ?? {}, {
    sides: { type: "array", items: { type: "string" }, title: "Sides", description: "With it." },
  });
  render(
    <MantineProvider env="test">
      <Comparison
        schema={schema}
        one={{ name: "lunch", config: { courses: [{ dish: "Soup", sides: [] }] } }}
        other={{ name: "dinner", config: { courses: [{ dish: "Soup" }] } }}
      />
    </MantineProvider>,
  );
  expect(screen.getByText("Both jobs have the same settings.")).toBeVisible();
});
