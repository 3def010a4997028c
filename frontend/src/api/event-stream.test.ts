import { SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { EventParser } from "./event-parser";
import { EventStream, type StreamState } from "./event-stream";

describe("reading server-sent events", () => {
  test("puts events together from pieces of any size", () => {
    const wire = 'event: job\r\nid: 7\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: ping\n\ndata: x\n\n';
    for (let size = 1; size < wire.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < wire.length; at += size) {
        events.push(...parser.feed(wire.slice(at, at + size)));
      }
      expect(events).toEqual([
        { id: "7", name: "job", data: '{"a":\n1}' },
        { id: "7", name: "message", data: "x" },
      ]);
    }
  });
});

describe("the page's stream", () => {
  let server: SmallServer;
  let states: StreamState[];
  let events: string[];
  let opened: boolean[];
  /** Seconds from each cut to the next attempt. */
  let delays: number[];
  let stream: EventStream;

  beforeEach(() => {
    server = new SmallServer();
    states = [];
    events = [];
    opened = [];
    delays = [];
    stream = new EventStream({
      onEvent: (event) => events.push(`${event.name} ${event.data}`),
      onOpen: (resumed) => opened.push(resumed),
      onState: (state, retryAt) => {
        states.push(state);
        if (retryAt !== null) {
          delays.push(Math.round((retryAt - Date.now()) / 1000));
        }
      },
    });
    return () => stream.close();
  });

  const streamsOpened = (count: number) =>
    vi.waitFor(() => expect(server.streams).toHaveLength(count));

  test("goes on after a cut from the last event that it heard", async () => {
    stream.listen(["queue", "job:3"]);
    await streamsOpened(1);
    expect(server.stream.request.query.get("topics")).toBe("job:3,queue");
    expect(server.stream.request.headers.get("Last-Event-ID")).toBeNull();
    server.stream.send("job", { id: 3 }, 41);
    await vi.waitFor(() => expect(events).toEqual(['job {"id":3}']));

    server.stream.cut();
    await streamsOpened(2);
    expect(server.stream.request.headers.get("Last-Event-ID")).toBe("41");
    expect(opened).toEqual([false, true]);
    expect(states).toContain("away");
    expect(states.at(-1)).toBe("open");
  });

  test("says that the server is away and comes back by itself", async () => {
    server.away = true;
    stream.listen(["queue"]);
    await vi.waitFor(() => expect(states.at(-1)).toBe("away"));
    server.away = false;
    stream.retryNow();
    await streamsOpened(1);
    await vi.waitFor(() => expect(states.at(-1)).toBe("open"));
  });

  test.each(["nothing", "a ping", "an event"])(
    "after two cuts and %s behind the greeting, tries again when it is due",
    async (heard) => {
      stream.listen(["queue"]);
      await vi.waitFor(() => expect(opened).toHaveLength(1));
      server.stream.cut();
      await vi.waitFor(() => expect(opened).toHaveLength(2));
      server.stream.cut();
      await vi.waitFor(() => expect(delays).toHaveLength(2));
      // Other topics are listened to without waiting for the next attempt.
      stream.listen(["job:3"]);
      await vi.waitFor(() => expect(opened).toHaveLength(3));
      if (heard === "a ping") {
        server.stream.write(": ping\n\n");
      } else if (heard === "an event") {
        server.stream.send("job", { id: 3 }, 41);
      }
      await new Promise((resolve) => setTimeout(resolve));
      server.stream.cut();
      await vi.waitFor(() => expect(delays).toHaveLength(3));
      expect(delays).toEqual([0, 1, heard === "nothing" ? 2 : 0]);
    },
  );

  test("is given back while the tab is hidden and catches up when it is shown", async () => {
    server.news = 12;
    stream.listen(["queue"]);
    await vi.waitFor(() => expect(opened).toEqual([false]));
    stream.setVisible(false);
    expect(states.at(-1)).toBe("paused");
    await vi.waitFor(() => expect(server.stream.closed).toBe(true));
    stream.setVisible(true);
    await streamsOpened(2);
    expect(server.stream.request.headers.get("Last-Event-ID")).toBe("12");
  });

  test("opens one connection for other topics and closes the one before", async () => {
    stream.listen(["queue"]);
    await streamsOpened(1);
    const first = server.stream;
    stream.listen(["queue"]);
    stream.listen(["job:1"]);
    await streamsOpened(2);
    expect(first.closed).toBe(true);
    expect(server.stream.closed).toBe(false);
  });

  test("asks for the token when the server wants it, and does not knock again", async () => {
    vi.stubGlobal(
      "fetch",
      vi.fn(async () => new Response(null, { status: 401 })),
    );
    stream.listen(["queue"]);
    await vi.waitFor(() => expect(states.at(-1)).toBe("unauthorized"));
    expect(fetch).toHaveBeenCalledTimes(1);
  });
});
