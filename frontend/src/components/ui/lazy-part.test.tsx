import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Refusal, SmallServer } from "@tests/small-server";
import { type ReactNode, Suspense } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { LiveProvider, useConnection } from "@/api/live";
import { ErrorBoundary } from "./error-boundary";
import { lazyPart } from "./lazy-part";

const MISSING = "This part of the page could not be fetched";
const nothing = () => {};

let server: SmallServer;
let fails: boolean;
let reload: ReturnType<typeof vi.spyOn>;
const load = vi.fn(async () => {
  if (fails) {
    throw new TypeError("Failed to fetch dynamically imported module: /assets/part-1.js");
  }
  return { default: ({ word }: { word: string }) => <p>The part says {word}.</p> };
});

beforeEach(() => {
  server = new SmallServer().on("HEAD /", () => new Response(null, { status: 200 }));
  fails = true;
  load.mockClear();
  reload = vi.spyOn(window.location, "reload").mockImplementation(nothing);
  // React says of every error that a boundary took that it did.
  vi.spyOn(console, "error").mockImplementation(nothing);
  return () => window.sessionStorage.clear();
});

function open(part: ReactNode) {
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <LiveProvider onStatusMoved={nothing} onAlarm={nothing} onUnauthorized={nothing}>
          <RetryNow />
          <ErrorBoundary>
            <Suspense fallback="Loading">{part}</Suspense>
          </ErrorBoundary>
        </LiveProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

function RetryNow() {
  const { retryNow } = useConnection();
  return (
    <button type="button" onClick={retryNow}>
      Try now
    </button>
  );
}

const press = (name: string) => userEvent.click(screen.getByRole("button", { name }));

test("a part that fails while the server is away comes when it is back", async () => {
  server.away = true;
  const Part = lazyPart("part", load);
  open(<Part word="hello" />);
  expect(await screen.findByText(MISSING)).toBeVisible();
  expect(reload).not.toHaveBeenCalled();

  fails = false;
  server.away = false;
  await press("Try now");
  expect(await screen.findByText("The part says hello.")).toBeVisible();
  expect(reload).not.toHaveBeenCalled();
});

test("a part that failed comes when somebody tries again", async () => {
  server.on("HEAD /", () => new Refusal(502, []));
  const Part = lazyPart("part", load);
  open(<Part word="hello" />);
  await screen.findByText(MISSING);
  await waitFor(() => expect(server.asked("HEAD /")).toHaveLength(1));
  expect(load).toHaveBeenCalledTimes(1);

  fails = false;
  server.on("HEAD /", () => new Response(null, { status: 200 }));
  await press("Try again");
  expect(await screen.findByText("The part says hello.")).toBeVisible();
  expect(reload).not.toHaveBeenCalled();
});

test("a part that the server does not have any more loads the page anew, once", async () => {
  const Before = lazyPart("part", load);
  const page = open(<Before word="hello" />);
  await waitFor(() => expect(reload).toHaveBeenCalledTimes(1));
  expect(load).toHaveBeenCalledTimes(2);
  page.unmount();

  // What the page loaded anew does, where the part is still missing.
  const After = lazyPart("part", load);
  open(<After word="hello" />);
  expect(await screen.findByText(/The server answers, but not with this part/)).toBeVisible();
  expect(reload).toHaveBeenCalledTimes(1);
  await press("Try again");
  await waitFor(() => expect(reload).toHaveBeenCalledTimes(2));
});

test("a part that arrived may load the page anew after the next update", async () => {
  const Part = lazyPart("part", load);
  const page = open(<Part word="hello" />);
  await waitFor(() => expect(reload).toHaveBeenCalledTimes(1));
  page.unmount();
  fails = false;
  const Arrived = lazyPart("part", load);
  open(<Arrived word="hello" />).unmount();
  await waitFor(() => expect(window.sessionStorage.length).toBe(0));
  fails = true;
  const Next = lazyPart("part", load);
  open(<Next word="hello" />);
  await waitFor(() => expect(reload).toHaveBeenCalledTimes(2));
});

test("a part whose own drawing breaks is said by the boundary around it", async () => {
  const Broken = lazyPart("broken", async () => ({
    default: (): ReactNode => {
      throw new Error("no such colour");
    },
  }));
  open(<Broken />);
  expect(await screen.findByText("no such colour")).toBeVisible();
  expect(screen.queryByText(MISSING)).toBeNull();
});

test("a stylesheet that failed is taken out, so that it is asked for again", async () => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  document.head.append(link);
  await act(async () => link.dispatchEvent(new Event("error")));
  expect(link.isConnected).toBe(false);
});
