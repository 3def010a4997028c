import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { renderHook } from "@testing-library/react";
import { jobSummary } from "@tests/examples";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useNextMoment } from "./use-next-moment";

const NOON = Date.parse("2026-05-01T12:00:00Z");
let asked: number[];
let isSeen: boolean;

beforeEach(() => {
  vi.useFakeTimers({ now: NOON });
  asked = [];
  isSeen = true;
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() =>
    isSeen ? "visible" : "hidden",
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The hook on a job that is to start a minute after noon; answers with what makes it start. */
function watched(not_before = "2026-05-01T12:01:00Z"): () => void {
  const client = new QueryClient();
  vi.spyOn(client, "invalidateQueries").mockImplementation(async () => {
    asked.push((Date.now() - NOON) / 1000);
  });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const waiting = jobSummary({ waits_for: "time", not_before });
  const { rerender } = renderHook(({ jobs }) => useNextMoment(jobs, ["jobs"]), {
    initialProps: { jobs: [waiting] },
    wrapper,
  });
  return () => rerender({ jobs: [{ ...waiting, waits_for: "device" }] });
}

test("a moment that has passed is asked for until the server says so too", async () => {
  const start = watched();
  await vi.advanceTimersByTimeAsync(72_000);
  expect(asked).toEqual([61, 66, 71]);
  start();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(3);
});

test("a moment that never comes is asked for a few minutes, and not while the tab is hidden", async () => {
  watched();
  isSeen = false;
  await vi.advanceTimersByTimeAsync(600_000);
  expect(asked).toEqual([]);
  isSeen = true;
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(asked).toHaveLength(60);
});

test("a moment further off than a timer reaches is not asked for before", async () => {
  watched("2026-06-10T12:00:00Z");
  await vi.advanceTimersByTimeAsync(39 * 86_400_000);
  expect(asked).toEqual([]);
  await vi.advanceTimersByTimeAsync(86_400_000 + 2000);
  expect(asked).toEqual([40 * 86_400 + 1]);
});
