import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api, LOG_PART_LINES } from "@/api/client";
import { useLogGrowth } from "@/api/live";
import type { LogPart, WrittenLine } from "@/api/types";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

/** Lines that the page keeps of a long log while it grows; the others are read when asked for. */
export const MAX_LINES = 3000;

export interface Log {
  lines: WrittenLine[];
  /** More than MAX_LINES once somebody asked for earlier ones: those are not taken away again. */
  maxLines: number;
  /** Where to read on: the byte at which the last line ends. */
  next: number | undefined;
}

function logQuery(jobId: number, run: number | undefined) {
  const queryKey = ["job", jobId, "log", run ?? null] as const;
  return queryOptions({
    queryKey,
    queryFn: async ({ signal, client }): Promise<Log> => {
      const known = client.getQueryData<Log>(queryKey);
      if (known?.next !== undefined) {
        const more = await api.log(jobId, run, { offset: known.next }, signal);
        // So much that there is more still: the newest are what somebody waits for.
        if (more.items.length < LOG_PART_LINES) {
          const now = client.getQueryData<Log>(queryKey) ?? known;
          return now.next === known.next ? grown(now, more) : now;
        }
      }
      const part = await api.log(jobId, run, {}, signal);
      return { lines: part.items, maxLines: MAX_LINES, next: offsetOf(part.next) };
    },
    // The stream says when there is more, and then only that is read.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

/** The log with what was read of it since. */
export function grown(log: Log, part: LogPart): Log {
  return {
    ...log,
    lines: [...log.lines, ...part.items].slice(-log.maxLines),
    next: offsetOf(part.next) ?? log.next,
  };
}

/** The log with lines from before its first. */
export function lengthened(log: Log, part: LogPart): Log {
  return {
    ...log,
    lines: [...part.items, ...log.lines],
    maxLines: log.maxLines + part.items.length,
  };
}

/** Bytes of the log before the first line that is shown. */
export function bytesBefore({ lines }: Log): number {
  return lines[0]?.offset ?? 0;
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
        const part = await api.log(jobId, run, { offset: from.next });
        client.setQueryData(options.queryKey, (now) =>
          now === undefined || now.next !== from.next ? now : grown(now, part),
        );
        isWholePart = part.items.length >= LOG_PART_LINES;
      } while (moreCame.current || isWholePart);
    } catch {
      // This may have been the last event of a run that is over. The query reads on in its own turn;
      // if that fails too, it is in error, and asked again when the stream is back.
      void client.invalidateQueries({ queryKey: options.queryKey });
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

/** Reads the lines before the first that is shown. */
export function useEarlierLines(jobId: number, run: number | undefined) {
  const client = useQueryClient();
  const { queryKey } = logQuery(jobId, run);
  return useMutation({
    mutationFn: async (before: number) => ({
      before,
      part: await api.log(jobId, run, { before }),
    }),
    onSuccess: ({ before, part }) =>
      // Meanwhile it may have grown past its first line; then there is nothing to put these before.
      client.setQueryData(queryKey, (now) =>
        now === undefined || bytesBefore(now) !== before ? now : lengthened(now, part),
      ),
    onError: (error) => toastFailure(text.log.earlier, error),
  });
}
