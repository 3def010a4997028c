import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render, screen } from "@testing-library/react";
import { SmallServer } from "@tests/small-server";
import { beforeEach, expect, test, vi } from "vitest";
import { LiveProvider, useTopics } from "@/api/live";
import { RetryingPicture } from "./retrying-picture";

const nothing = () => {};
const image = () => screen.queryByRole("img", { name: "a fox" });
const fails = () => fireEvent.error(image() as HTMLElement);
const seconds = (count: number) => act(() => vi.advanceTimersByTimeAsync(1000 * count));

let server: SmallServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new SmallServer();
  return () => {
    vi.useRealTimers();
  };
});

function Listener() {
  useTopics("system");
  return null;
}

const pageOf = (src: string) => (
  <QueryClientProvider client={new QueryClient()}>
    <LiveProvider onStatusMoved={nothing} onAlarm={nothing} onUnauthorized={nothing}>
      <Listener />
      <RetryingPicture src={src} alt="a fox" instead={(isLost) => (isLost ? "Lost" : "Waiting")} />
    </LiveProvider>
  </QueryClientProvider>
);

async function open() {
  const page = render(pageOf("/first"));
  await seconds(0);
  expect(server.streams).toHaveLength(1);
  return page;
}

test("a picture that fails is asked for again, and lost after the last try", async () => {
  const page = await open();
  for (const pause of [1, 2, 4]) {
    fails();
    expect(screen.getByText("Waiting")).toBeVisible();
    await seconds(pause - 0.1);
    expect(image()).toBeNull();
    await seconds(0.2);
  }
  fails();
  expect(screen.getByText("Lost")).toBeVisible();
  await seconds(60);
  expect(image()).toBeNull();
  page.rerender(pageOf("/second"));
  expect(image()).toHaveAttribute("src", "/second");
});

test("a picture is not lost while the server is away, and comes when that is back", async () => {
  await open();
  server.away = true;
  await act(async () => server.stream.cut());
  await seconds(0);
  fails();
  await seconds(60);
  expect(screen.getByText("Waiting")).toBeVisible();
  server.away = false;
  await seconds(8);
  expect(image()).toHaveAttribute("src", "/first");
  expect(screen.queryByText("Lost")).toBeNull();
});

test("a picture that was lost before the cut was noticed comes when the server is back", async () => {
  await open();
  for (const pause of [1, 2, 4]) {
    fails();
    await seconds(pause);
  }
  fails();
  expect(screen.getByText("Lost")).toBeVisible();
  await act(async () => server.stream.cut());
  await seconds(1);
  expect(server.streams).toHaveLength(2);
  expect(image()).toBeVisible();
});
