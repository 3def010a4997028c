/**
 * The page's one stream of server-sent events.
 *
 * Why not the browser's EventSource: it can send `Last-Event-ID` only on its own reconnections, and
 * this stream is closed and opened again by us, when the tab is hidden or the page asks for other
 * topics. Reading the same wire format through `fetch` keeps the cursor across those, tells a 401
 * from a server that is away, and lets us say when the next attempt is.
 *
 * States: `connecting` → `open` → (cut) → `away` → ... and `paused` while the tab is hidden. After a
 * cut the first attempt follows at once, then after 1, 2, 4 and at most 8 seconds. Only news or a ping
 * make the next attempt a first one again: a proxy may let the greeting through and cut, each time.
 * The server's ping comes every 15 s; 45 s of silence count as a cut, for a connection can die without
 * saying so.
 */

import { EventParser, type ServerEvent } from "./event-parser";

export type StreamState = "idle" | "connecting" | "open" | "away" | "paused" | "unauthorized";

export interface StreamListener {
  onEvent(event: ServerEvent): void;
  /**
   * The stream tells all that happens after event `from`. `resumed` says that it goes on from our
   * cursor: nothing was missed.
   */
  onOpen(resumed: boolean, from: number): void;
  onState(state: StreamState, retryAt: number | null): void;
}

const SILENCE_MS = 45_000;
const RETRY_DELAYS_MS = [0, 1000, 2000, 4000, 8000];

export class EventStream {
  private topics: string[] = [];
  private cursor: string | null = null;
  private connection: AbortController | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private visible = true;

  constructor(private readonly listener: StreamListener) {}

  /** Listen to these topics from now on; other topics mean another connection. */
  listen(topics: string[]): void {
    const next = [...new Set(topics)].sort();
    if (next.join() === this.topics.join()) {
      return;
    }
    this.topics = next;
    // What happened on a new topic before now is in the answers that the page fetches itself.
    this.cursor = null;
    this.restart();
  }

  /** A hidden tab gives its connection back; a shown one catches up from its cursor. */
  setVisible(visible: boolean): void {
    if (visible === this.visible) {
      return;
    }
    this.visible = visible;
    this.restart();
  }

  /** Try now, without waiting for the next attempt. */
  retryNow(): void {
    this.failures = 0;
    this.restart();
  }

  close(): void {
    this.stop();
    this.topics = [];
  }

  private stop(): void {
    this.connection?.abort();
    this.connection = null;
    if (this.retryTimer !== null) {
      clearTimeout(this.retryTimer);
      this.retryTimer = null;
    }
  }

  private restart(): void {
    this.stop();
    if (this.topics.length === 0) {
      this.listener.onState("idle", null);
    } else if (!this.visible) {
      this.listener.onState("paused", null);
    } else {
      void this.connect();
    }
  }

  private async connect(): Promise<void> {
    const connection = new AbortController();
    this.connection = connection;
    if (this.failures === 0) {
      this.listener.onState("connecting", null);
    }
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort("silence"), SILENCE_MS);
    };
    try {
      heard();
      const resumed = this.cursor !== null;
      const response = await fetch(`/api/events?topics=${this.topics.join(",")}`, {
        headers: {
          Accept: "text/event-stream",
          ...(this.cursor === null ? {} : { "Last-Event-ID": this.cursor }),
        },
        signal: connection.signal,
        cache: "no-store",
      });
      if (response.status === 401) {
        this.listener.onState("unauthorized", null);
        return;
      }
      if (!response.ok || response.body === null) {
        throw new Error(`events: ${response.status}`);
      }
      this.listener.onState("open", null);
      await this.read(response.body, heard, resumed);
    } catch {
      // A cut is an ordinary event here; what matters is only whether we still want a connection.
    } finally {
      clearTimeout(silence);
    }
    if (this.connection === connection) {
      this.retryLater();
    }
  }

  private async read(
    body: ReadableStream<Uint8Array>,
    heard: () => void,
    resumed: boolean,
  ): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    let greeted = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      heard();
      if (greeted) {
        this.failures = 0;
      }
      for (const event of parser.feed(decoder.decode(value, { stream: true }))) {
        if (event.id !== null) {
          this.cursor = event.id;
        }
        greeted = true;
        if (event.name === "open") {
          this.listener.onOpen(resumed, Number(event.id));
        } else {
          this.failures = 0;
          this.listener.onEvent(event);
        }
      }
    }
  }

  private retryLater(): void {
    const delay = RETRY_DELAYS_MS[Math.min(this.failures, RETRY_DELAYS_MS.length - 1)] ?? 0;
    this.failures += 1;
    this.listener.onState("away", Date.now() + delay);
    this.retryTimer = setTimeout(() => void this.connect(), delay);
  }
}
