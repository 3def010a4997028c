import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { LiveProvider } from "@/api/live";
import { Thumbnail } from "./thumbnail";

const nothing = () => {};

const pageOf = (src: string) => (
  <QueryClientProvider client={new QueryClient()}>
    <LiveProvider onStatusMoved={nothing} onAlarm={nothing} onUnauthorized={nothing}>
      <Thumbnail src={src} alt="a fox" />
    </LiveProvider>
  </QueryClientProvider>
);

test("a picture that does not come leaves a blank, is asked for again, and the next is shown", () => {
  vi.useFakeTimers();
  try {
    const { rerender } = render(pageOf("/first"));
    fireEvent.error(screen.getByRole("img", { name: "a fox" }));
    expect(screen.queryByRole("img")).toBeNull();
    act(() => vi.advanceTimersByTime(1000));
    fireEvent.error(screen.getByRole("img", { name: "a fox" }));
    rerender(pageOf("/second"));
    expect(screen.getByRole("img", { name: "a fox" })).toHaveAttribute("src", "/second");
  } finally {
    vi.useRealTimers();
  }
});
