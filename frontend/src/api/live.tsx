/** The event stream in the page: who listens to what, and what arrives goes into the query cache. */

import { hashKey, useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { holdsAllUpTo } from "./answer-age";
import {
  applyCheckpoint,
  applyCheckpointRemoved,
  applyCommand,
  applyJob,
  applyJobDeleted,
  applyLoad,
  applyMeasurement,
  applyPreview,
  applyPreviewOver,
  applyQueue,
  applySample,
  applySampleRemoved,
  applySteps,
  applySystem,
} from "./apply-event";
import type { ServerEvent } from "./event-parser";
import { EventStream, type StreamState } from "./event-stream";
import { askAgainIfAsking } from "./late-answers";
import { keys } from "./queries";
import { shownJob } from "./shown-jobs";
import type { JobSummary, Problem } from "./types";

type LogListener = (jobId: number) => void;

/** Fetched anew when the stream goes on after a cut. */
const untold = [keys.queue, keys.activeJobs, keys.load];

export interface Connection {
  state: StreamState;
  /** When the next attempt is, in milliseconds since 1970, while the server is away. */
  retryAt: number | null;
}

interface Live {
  claim(topics: string[]): () => void;
  retryNow(): void;
  onLog(listener: LogListener): () => void;
  subscribe(listener: () => void): () => void;
  connection(): Connection;
}

const LiveContext = createContext<Live | null>(null);

interface LiveProviderProps {
  children: ReactNode;
  onStatusMoved: (job: JobSummary) => void;
  onAlarm: (alarm: Alarm) => void;
  onUnauthorized: () => void;
}

/** Something that the worker warns of while a job runs, or that is over. */
export interface Alarm {
  /** Null if no list on the page has the job. */
  job: JobSummary | null;
  problem: Problem;
  active: boolean;
}

export function LiveProvider({
  children,
  onStatusMoved,
  onAlarm,
  onUnauthorized,
}: LiveProviderProps) {
  const client = useQueryClient();
  const callbacks = useRef({ onStatusMoved, onAlarm, onUnauthorized });
  useEffect(() => {
    callbacks.current = { onStatusMoved, onAlarm, onUnauthorized };
  });

  const [{ live, stream }] = useState(() => {
    const claims = new Map<string, number>();
    const logListeners = new Set<LogListener>();
    const stateListeners = new Set<() => void>();
    let connection: Connection = { state: "idle", retryAt: null };

    const dispatch = (event: ServerEvent) => {
      const data = event.data === "" ? {} : JSON.parse(event.data);
      switch (event.name) {
        case "job":
          applyJob(client, data, (job) => callbacks.current.onStatusMoved(job));
          break;
        case "job_deleted":
          applyJobDeleted(client, data.id);
          break;
        case "steps":
          applySteps(client, data.job_id, data.items);
          break;
        case "measurement":
          applyMeasurement(client, data.job_id, data);
          break;
        case "command":
          applyCommand(client, data.job_id, data);
          break;
        case "sample":
          applySample(client, data.job_id, data);
          break;
        case "sample_removed":
          applySampleRemoved(client, data.job_id, data.id);
          break;
        case "preview":
          applyPreview(client, data.job_id, data);
          break;
        case "sample_failed":
          applyPreviewOver(client, data.job_id);
          // Why stands in the record of the run, which is fetched with the job.
          void client.invalidateQueries({ queryKey: keys.job(data.job_id), exact: true });
          void client.invalidateQueries({ queryKey: keys.drawing(data.job_id) });
          break;
        case "checkpoint":
          applyCheckpoint(client, data.job_id, data);
          break;
        case "checkpoint_removed":
          applyCheckpointRemoved(client, data.job_id, data.step, data.is_final === true);
          break;
        case "log":
          for (const listener of logListeners) {
            listener(data.job_id);
          }
          break;
        case "system":
          applySystem(client, data);
          break;
        case "alarm":
          callbacks.current.onAlarm({
            job: shownJob(client, data.job_id) ?? null,
            problem: data,
            active: data.active,
          });
          break;
        case "queue":
          applyQueue(client, data);
          break;
        case "load":
          applyLoad(client, data);
          break;
        case "hooks":
          void client.invalidateQueries({ queryKey: keys.hooks });
          break;
        case "superseded":
        case "reset":
          void client.invalidateQueries();
          break;
      }
    };

    const stream = new EventStream({
      onEvent: dispatch,
      onOpen: (resumed, from) => {
        if (resumed) {
          // Nothing was missed but what failed meanwhile, and what no news tell: the load is measured
          // for whoever listens, and the counts are fetched when a job moves, which a hidden tab may
          // have seen in its lists already.
          void client.invalidateQueries({
            predicate: ({ state, queryKey }) =>
              state.status === "error" || untold.some((key) => hashKey(key) === hashKey(queryKey)),
          });
          return;
        }
        // What happened after an answer was read and before the stream began is in neither. An
        // invalidation waits for a first answer that is on its way instead of asking anew.
        for (const query of client.getQueryCache().findAll({ fetchStatus: "fetching" })) {
          askAgainIfAsking(client, query.queryKey, from);
        }
        void client.invalidateQueries({
          predicate: ({ state }) => !holdsAllUpTo(from, state.data),
        });
      },
      onState: (state, retryAt) => {
        connection = { state, retryAt };
        if (state === "unauthorized") {
          callbacks.current.onUnauthorized();
        }
        for (const listener of stateListeners) {
          listener();
        }
      },
    });

    const live: Live = {
      claim(topics) {
        for (const topic of topics) {
          claims.set(topic, (claims.get(topic) ?? 0) + 1);
        }
        const listen = () =>
          // One page replaces another within a tick: both changes make one connection.
          queueMicrotask(() =>
            stream.listen([...claims].filter(([, count]) => count > 0).map(([topic]) => topic)),
          );
        listen();
        return () => {
          for (const topic of topics) {
            claims.set(topic, (claims.get(topic) ?? 1) - 1);
          }
          listen();
        };
      },
      retryNow: () => stream.retryNow(),
      onLog(listener) {
        logListeners.add(listener);
        return () => logListeners.delete(listener);
      },
      subscribe(listener) {
        stateListeners.add(listener);
        return () => stateListeners.delete(listener);
      },
      connection: () => connection,
    };
    return { live, stream };
  });

  useEffect(() => {
    const onVisibility = () => stream.setVisible(document.visibilityState !== "hidden");
    onVisibility();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      stream.close();
    };
  }, [stream]);

  return <LiveContext value={live}>{children}</LiveContext>;
}

function useLive(): Live {
  const live = useContext(LiveContext);
  if (live === null) {
    throw new Error("This component must stand inside LiveProvider.");
  }
  return live;
}

/** Receive these topics while the component is on the page. */
export function useTopics(...topics: string[]): void {
  const live = useLive();
  const wanted = topics.join();
  useEffect(() => live.claim(wanted.split(",")), [live, wanted]);
}

/** Be told that a job's log has grown. */
export function useLogGrowth(listener: LogListener): void {
  const live = useLive();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => live.onLog((jobId) => latest.current(jobId)), [live]);
}

export function useConnection(): Connection & { retryNow: () => void } {
  const live = useLive();
  const connection = useSyncExternalStore(live.subscribe, live.connection);
  return useMemo(() => ({ ...connection, retryNow: live.retryNow }), [connection, live]);
}
