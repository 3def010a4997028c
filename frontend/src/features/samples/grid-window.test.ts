import { describe, expect, test } from "vitest";
import { cellWidth, columnsInSight, GAP_PX } from "./grid-window";

describe("the columns in sight", () => {
  const width = 100;
  const place = width + GAP_PX;
  const sight = { top: 0, left: 10 * place, width: 5 * place, height: 600, around: 0 };

  test("are those that the window touches", () => {
    expect(columnsInSight(200, width, sight, 0)).toEqual([10, 15]);
    expect(columnsInSight(12, width, sight, 0)).toEqual([10, 12]);
  });

  test("are not those behind the base model's column", () => {
    expect(columnsInSight(200, width, sight, place)).toEqual([11, 15]);
  });

  test("come with what is around them once the first are there", () => {
    const [first, end] = columnsInSight(200, width, { ...sight, around: 2 * place }, place);
    expect([first, end]).toEqual([9, 17]);
  });
});

test("whole cells fill the width", () => {
  for (const width of [239, 309, 925, 1308, 3331]) {
    const cell = cellWidth(width, 200, "medium");
    const shown = (width + GAP_PX) / (cell + GAP_PX);
    expect(shown).toBeCloseTo(Math.round(shown), 9);
  }
});
