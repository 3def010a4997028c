import { jobSummary } from "@tests/examples";
import { describe, expect, test } from "vitest";
import type { JobList } from "@/api/job-lists";
import { inNewOrder, targetOf, withMoves } from "./waiting-order";

const waiting = (id: number, queue_position: number, priority = 0) =>
  jobSummary({ id, status: "queued", queue_position, priority });
const list = (next: string | null = null) => ({
  items: [waiting(1, 1), waiting(2, 2), waiting(3, 3)],
  next,
});

describe("a step leads", () => {
  test("up and down by one place, to the top and to the bottom", () => {
    expect(targetOf(list(), 3, "up")).toEqual({ before: 2 });
    expect(targetOf(list(), 3, "top")).toEqual({ before: 1 });
    expect(targetOf(list(), 1, "down")).toEqual({ before: 3 });
    expect(targetOf(list(), 2, "down")).toEqual({ before: null });
    expect(targetOf(list(), 1, "bottom")).toEqual({ before: null });
  });

  test("nowhere from an end", () => {
    expect(targetOf(list(), 1, "up")).toBe("isFirst");
    expect(targetOf(list(), 1, "top")).toBe("isFirst");
    expect(targetOf(list(), 3, "down")).toBe("isLast");
    expect(targetOf(list(), 3, "bottom")).toBe("isLast");
  });

  test("not past what is shown of a longer list, but to its bottom", () => {
    expect(targetOf(list("more"), 2, "down")).toBe("isLast");
    expect(targetOf(list("more"), 3, "bottom")).toEqual({ before: null });
  });
});

describe("a moved job", () => {
  const outline = (...given: Parameters<typeof inNewOrder>) =>
    inNewOrder(...given).map((job) => `${job.queue_position}: ${job.id} (${job.priority})`);

  test("takes its place, and the others close the gap", () => {
    expect(outline(list().items, 3, 1)).toEqual(["1: 3 (0)", "2: 1 (0)", "3: 2 (0)"]);
    expect(outline(list().items, 1, null)).toEqual(["1: 2 (0)", "2: 3 (0)", "3: 1 (0)"]);
  });

  test("keeps the places of a list that others stand between", () => {
    const items = [waiting(1, 2), waiting(2, 5), waiting(3, 9)];
    expect(outline(items, 3, 2)).toEqual(["2: 1 (0)", "5: 3 (0)", "9: 2 (0)"]);
  });

  test("takes the priority of the one that it is put before, or of the last", () => {
    const items = [waiting(1, 1, 1), waiting(2, 2), waiting(3, 3, -1)];
    expect(outline(items, 3, 1)[0]).toBe("1: 3 (1)");
    expect(outline(items, 1, null)[2]).toBe("3: 1 (-1)");
  });

  test("before itself, or unknown here, changes nothing", () => {
    const { items } = list();
    expect(inNewOrder(items, 2, 2)).toBe(items);
    expect(inNewOrder(items, 9, 2)).toBe(items);
  });
});

describe("moves that the server has not answered", () => {
  const order = (list: JobList) => list.items.map(({ id }) => id);
  const moves = [
    { id: 3, before: 1 },
    { id: 2, before: 3 },
  ];

  test("lie over its order in their own", () => {
    const told = list();
    expect(order(withMoves(told, moves))).toEqual([2, 3, 1]);
    expect(withMoves(told, [])).toBe(told);
  });

  test("change nothing once more where it knows the first of them, or all", () => {
    const first = withMoves(list(), moves.slice(0, 1));
    expect(order(withMoves(first, moves))).toEqual([2, 3, 1]);
    const all = withMoves(list(), moves);
    expect(withMoves(all, moves)).toEqual(all);
  });
});
