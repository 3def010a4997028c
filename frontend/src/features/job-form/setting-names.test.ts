import { syntheticSchema } from "@tests/examples";
import { expect, test } from "vitest";
import { panelsOf } from "./setting-model";
import { namedSettings } from "./setting-names";

const panels = panelsOf(syntheticSchema);
const named = (settings: Record<string, unknown>) =>
  namedSettings(panels, settings).map(({ label, value }) => `${label}: ${value}`);

test("a setting is named by its panel and label, and its value is in words", () => {
  expect(named({ "kitchen.guests": 6, "kitchen.stove": true })).toEqual([
    "Kitchen › Guests: 6",
    "Kitchen › Stove: on",
  ]);
});

test("an entry of a list is named by its place, counted from 1", () => {
  expect(named({ "courses.0.dish": "soup" })).toEqual(["Courses › 1 › Dish: soup"]);
});

test("what the schema does not know keeps its path", () => {
  expect(named({ "kitchen.ghosts": [1], "attic.bats": 2 })).toEqual([
    "kitchen.ghosts: [1]",
    "attic.bats: 2",
  ]);
});
