import { expect, test } from "vitest";
import { isReadAnew, numberTyped } from "./typed-number";

test.each([
  ["2000", 2000],
  ["2,000", 2000],
  ["2.000", 2000],
  ["2 000", 2000],
  ["2\u202f000", 2000],
  ["2'000", 2000],
  ["12_500", 12_500],
  ["1.250.000", 1_250_000],
  ["-1,500", -1500],
  ["1e3", 1000],
  ["2.0", 2],
  [" 7 ", 7],
  ["2.5", 2.5],
])("a field of whole numbers takes %j as %d", (typed, number) => {
  expect(numberTyped(typed, true)).toBe(number);
});

test.each(["2,0", "2,00", "20,00", "2,0000", "2,000.000", "0,500", "12,34,567", "2 00", "many"])(
  "a field of whole numbers leaves %j to be refused",
  (typed) => {
    expect(numberTyped(typed, true)).toBe(typed);
  },
);

test.each([
  ["0.5", 0.5],
  ["0,5", 0.5],
  ["0,125", 0.125],
  ["3,25", 3.25],
  ["1.500", 1.5],
  ["1000,250", 1000.25],
  ["2,5e-4", 0.000_25],
  ["1 500", 1500],
  ["1,500,000", 1_500_000],
])("a field of any numbers takes %j as %d", (typed, number) => {
  expect(numberTyped(typed, false)).toBe(number);
});

test.each(["1,500", "-12,500", "1,500.25", "1.500,25", "1e"])(
  "a field of any numbers leaves %j, which may be either of two or none, to be refused",
  (typed) => {
    expect(numberTyped(typed, false)).toBe(typed);
  },
);

test("nothing is null", () => {
  expect(numberTyped("  ", true)).toBeNull();
});

test("what a field that is left shows is what it took, unless that stands there already", () => {
  expect(["2,000", "2.000", "0,5", "2 000"].map(isReadAnew)).toEqual([true, true, true, true]);
  expect(["2000", "0.0001", "1e-4", "0.5"].map(isReadAnew)).toEqual([false, false, false, false]);
});
