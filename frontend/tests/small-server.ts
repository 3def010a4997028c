/**
 * A server for the page's tests: answers by method and path, and event streams that a test feeds.
 *
 * It stands in for the network only; the client, the stream and the pages are the real ones.
 */

import { vi } from "vitest";

export interface Request {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Headers;
  body: unknown;
}

type Answer = (request: Request) => unknown;

export class Refusal {
  constructor(
    readonly status: number,
    readonly errors: object[],
  ) {}
}

/** One connection to /api/events. */
export class OpenStream {
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      this.controller = controller;
    },
  });
  closed = false;

  constructor(readonly request: Request) {}

  send(event: string, data: unknown, id?: number): void {
    const cursor = id === undefined ? "" : `id: ${id}\n`;
    this.write(`event: ${event}\n${cursor}data: ${JSON.stringify(data)}\n\n`);
  }

  write(piece: string): void {
    this.controller.enqueue(new TextEncoder().encode(piece));
  }

  cut(): void {
    this.controller.error(new TypeError("network"));
  }

  close(): void {
    this.closed = true;
  }
}

export class SmallServer {
  readonly requests: Request[] = [];
  readonly streams: OpenStream[] = [];
  away = false;
  /** Number of the newest event; every answer says it, and a stream begins after it. */
  news = 1;
  /** What is said where no answer was given. */
  otherwise: Answer = ({ path }) => new Refusal(404, [problem("not_found", `Nothing at ${path}.`)]);
  private readonly answers = new Map<string, Answer>();

  constructor() {
    const answer = (input: RequestInfo | URL, init?: RequestInit) => this.fetch(input, init);
    vi.stubGlobal("fetch", answer);
    vi.stubGlobal(
      "XMLHttpRequest",
      class extends SmallUpload {
        protected override readonly answer = answer;
      },
    );
  }

  /** `server.on("GET /api/jobs", () => ({ items: [], next: null }))` */
  on(route: string, answer: Answer): this {
    this.answers.set(route, answer);
    return this;
  }

  asked(route: string): Request[] {
    return this.requests.filter(({ method, path }) => `${method} ${path}` === route);
  }

  get stream(): OpenStream {
    const stream = this.streams[this.streams.length - 1];
    if (stream === undefined) {
      throw new Error("No stream was opened.");
    }
    return stream;
  }

  private async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const signal = input instanceof globalThis.Request ? input.signal : init?.signal;
    const raw =
      input instanceof globalThis.Request
        ? input
        : new globalThis.Request(new URL(String(input), "http://localhost"), {
            ...init,
            signal: undefined,
          });
    const url = new URL(raw.url);
    const written = raw.method === "GET" ? "" : await raw.clone().text();
    const request: Request = {
      method: raw.method,
      path: url.pathname,
      query: url.searchParams,
      headers: raw.headers,
      body: written === "" ? undefined : isJson(raw) ? JSON.parse(written) : written,
    };
    this.requests.push(request);
    if (this.away) {
      throw new TypeError("Failed to fetch");
    }
    if (request.path === "/api/events") {
      const stream = new OpenStream(request);
      signal?.addEventListener("abort", () => stream.close());
      this.streams.push(stream);
      stream.send("open", {}, Number(request.headers.get("Last-Event-ID") ?? this.news));
      return new Response(stream.body, { status: 200 });
    }
    const headers = { "Darkroom-News": String(this.news) };
    const answer = this.answers.get(`${request.method} ${request.path}`) ?? this.otherwise;
    const given = await answer(request);
    if (given instanceof Response) {
      return given;
    }
    return given instanceof Refusal
      ? Response.json({ errors: given.errors }, { status: given.status, headers })
      : given === undefined
        ? new Response(null, { status: 204, headers })
        : Response.json(given, { headers });
  }
}

function isJson({ headers }: globalThis.Request): boolean {
  return headers.get("content-type")?.includes("json") === true;
}

/** What the page sends files with; all of one is sent at once. */
class SmallUpload extends EventTarget {
  readonly upload = new EventTarget();
  status = 0;
  responseText = "";
  protected readonly answer!: (input: string, init: RequestInit) => Promise<Response>;
  private address = "";
  private method = "";
  private readonly headers = new Headers();
  private readonly aborting = new AbortController();

  open(method: string, address: string): void {
    this.method = method;
    this.address = address;
  }

  setRequestHeader(name: string, value: string): void {
    this.headers.set(name, value);
  }

  send(body: Blob): void {
    void this.sent(body).catch(() => this.dispatchEvent(new Event("error")));
  }

  abort(): void {
    this.aborting.abort();
    this.dispatchEvent(new Event("abort"));
  }

  private async sent(body: Blob): Promise<void> {
    const { method, headers } = this;
    const content = new TextDecoder("latin1").decode(await body.arrayBuffer());
    this.upload.dispatchEvent(
      Object.assign(new Event("progress"), { loaded: body.size, total: body.size }),
    );
    const response = await this.answer(this.address, { method, headers, body: content });
    if (!this.aborting.signal.aborted) {
      this.status = response.status;
      this.responseText = await response.text();
      this.dispatchEvent(new Event("load"));
    }
  }
}

export function problem(code: string, message: string, field: string | null = null) {
  return { code, message, hint: "", field, params: {}, severity: "error" as const };
}

/** These jobs to whoever asks for their states or for all, as many as wanted, behind the cursor. */
export function jobsOf(...jobs: { id: number; status: string }[]): Answer {
  return ({ query }) => {
    const asked = query.getAll("status");
    const after = Number(query.get("after") ?? "0");
    const limit = Number(query.get("limit"));
    const there = jobs.filter(({ status }) => asked.length === 0 || asked.includes(status));
    const end = after + limit;
    return { items: there.slice(after, end), next: end < there.length ? String(end) : null };
  };
}

export function pageOf(...items: object[]) {
  return { items, next: null };
}
