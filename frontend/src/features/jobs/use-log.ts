import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api, LOG_PART_LINES } from "@/api/client";
import { useLogGrowth } from "@/api/live";
import type { LogPart } from "@/api/types";

/** Lines that the page keeps of a long log; the file itself is in the run's folder. */
export const MAX_LINES = 3000;

export interface Log {
  lines: string[];
  /** Earlier lines that the page no longer keeps. */
  dropped: number;
  /** Where to read on. */
  next: number | undefined;
}

function logQuery(jobId: number, run: number | undefined) {
  return queryOptions({
    queryKey: ["job", jobId, "log", run ?? null] as const,
    queryFn: async ({ signal }): Promise<Log> => {
      const part = await api.log(jobId, run, undefined, signal);
      return { lines: part.items.map(({ line }) => line), dropped: 0, next: offsetOf(part.next) };
    },
    // The stream says when there is more, and then only that is read.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

/** The log with what was read of it since. */
export function grown(log: Log, part: LogPart): Log {
  const lines = [...log.lines, ...part.items.map(({ line }) => line)];
  const over = Math.max(0, lines.length - MAX_LINES);
  return {
    lines: lines.slice(over),
    dropped: log.dropped + over,
    next: offsetOf(part.next) ?? log.next,
  };
}

function offsetOf(next: string | null | undefined): number | undefined {
  return next === null || next === undefined ? undefined : Number(next);
}

/**
 * A run's log, growing. An event of the stream is only the sign that there is more: the lines are
 * read from where the last reading ended, so that none is missed and none comes twice.
 */
export function useLog(jobId: number, run: number | undefined) {
  const client = useQueryClient();
  const options = logQuery(jobId, run);
  const reading = useRef(false);
  const moreCame = useRef(false);

  const readOn = async () => {
    const known = client.getQueryData(options.queryKey);
    if (known === undefined || known.next === undefined) {
      void client.invalidateQueries({ queryKey: options.queryKey });
      return;
    }
    if (reading.current) {
      moreCame.current = true;
      return;
    }
    reading.current = true;
    try {
      let isWholePart = false;
      do {
        moreCame.current = false;
        const from = client.getQueryData(options.queryKey);
        if (from === undefined) {
          break;
        }
        const part = await api.log(jobId, run, from.next);
        client.setQueryData(options.queryKey, (now) =>
          now === undefined || now.next !== from.next ? now : grown(now, part),
        );
        isWholePart = part.items.length >= LOG_PART_LINES;
      } while (moreCame.current || isWholePart);
    } catch {
      // The next event, or the stream's return, reads on from the same place.
    } finally {
      reading.current = false;
    }
  };

  useLogGrowth((grown) => {
    if (grown === jobId) {
      void readOn();
    }
  });
  return useQuery(options);
}
