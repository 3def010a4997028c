import { useEffect, useRef, useState } from "react";
import { ApiError, ServerAway } from "@/api/errors";

const PAUSE_MS = 350;
export const RETRY_MS = 3000;

export interface Answer<Data> {
  /**
   * `asking` until the present question has its answer; `refused`: it has none. After `away` (nobody
   * answered) and `failed` (the server could not work it out) the same is asked again by itself.
   */
  state: "asking" | "there" | "refused" | "away" | "failed";
  /** The last answer; while another is under way it stays in sight. */
  data: Data | null;
}

/**
 * What the server says of something that is typed, asked when typing pauses. Only the answer to the
 * latest question counts; the one before it is cancelled. A question is its `key`; null asks nothing.
 */
export function useAnswer<Data>(
  key: string | null,
  ask: (signal: AbortSignal) => Promise<Data>,
): Answer<Data> {
  const [known, setKnown] = useState<Answer<Data>>({ state: "asking", data: null });
  const latest = useRef(ask);
  latest.current = ask;

  useEffect(() => {
    if (key === null) {
      return undefined;
    }
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    setKnown((before) => ({ ...before, state: "asking" }));
    const attempt = async () => {
      try {
        const data = await latest.current(abort.signal);
        if (!abort.signal.aborted) {
          setKnown({ state: "there", data });
        }
      } catch (error) {
        if (abort.signal.aborted) {
          return;
        }
        const state = stateAfter(error);
        setKnown((before) => ({ ...before, state }));
        if (state !== "refused") {
          timer = setTimeout(() => void attempt(), RETRY_MS);
        }
      }
    };
    timer = setTimeout(() => void attempt(), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key]);

  return known;
}

/** What a failed question leaves: all but `refused` is worth asking again. */
export function stateAfter(error: unknown): "refused" | "away" | "failed" {
  if (error instanceof ServerAway) {
    return "away";
  }
  // What the server says of the values themselves stays so until they are others.
  return error instanceof ApiError && error.status < 500 ? "refused" : "failed";
}
