import { act, renderHook } from "@testing-library/react";
import { problem } from "@tests/small-server";
import { beforeEach, expect, test, vi } from "vitest";
import { ApiError, ServerAway } from "@/api/errors";
import { useAnswer } from "./use-answer";

beforeEach(() => {
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

const pass = (milliseconds: number) =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });

test.each([
  ["failed", new ApiError(500, [problem("crash", "The database is gone.")])],
  ["failed", new SyntaxError("Unexpected token '<'")],
  ["away", new ServerAway()],
])("a question whose answer %s is asked again by itself", async (state, error) => {
  const ask = vi.fn<() => Promise<string>>().mockRejectedValueOnce(error).mockResolvedValue("yes");
  const { result } = renderHook(() => useAnswer("key", ask));
  await pass(400);
  expect(result.current).toEqual({ state, data: null });
  await pass(3100);
  expect(result.current).toEqual({ state: "there", data: "yes" });
  expect(ask).toHaveBeenCalledTimes(2);
});

test("a question that was refused waits for other values", async () => {
  const refusal = new ApiError(422, [problem("invalid", "Not a number.")]);
  const ask = vi
    .fn<() => Promise<string>>()
    .mockRejectedValueOnce(refusal)
    .mockResolvedValue("yes");
  const { result, rerender } = renderHook(({ key }) => useAnswer(key, ask), {
    initialProps: { key: "one" },
  });
  await pass(10_000);
  expect(result.current.state).toBe("refused");
  expect(ask).toHaveBeenCalledTimes(1);
  rerender({ key: "two" });
  await pass(400);
  expect(result.current).toEqual({ state: "there", data: "yes" });
});
