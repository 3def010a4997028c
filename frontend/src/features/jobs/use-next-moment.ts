import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { JobSummary } from "@/api/types";

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
/** For as long as the moment has passed here and not there: a clock is rarely minutes behind. */
const AGAIN_MS = 5000;
const MOST_TIMES = 60;

/**
 * No event says that a job's moment has come: what `queryKey` names is fetched again when the first
 * has, and again while the server, whose clock decides and may be behind, says that it has not.
 * `exact`: that query alone.
 */
export function useNextMoment(
  jobs: JobSummary[],
  queryKey: readonly unknown[],
  { exact = false }: { exact?: boolean } = {},
): void {
  const client = useQueryClient();
  const moments = jobs.flatMap(({ waits_for, not_before }) =>
    waits_for === "time" && not_before !== null ? [Date.parse(not_before)] : [],
  );
  const next = Math.min(...moments);
  const key = JSON.stringify(queryKey);
  useEffect(() => {
    if (!Number.isFinite(next)) {
      return;
    }
    let times = 0;
    let timer: ReturnType<typeof setTimeout>;
    const askIn = (milliseconds: number) => {
      timer = setTimeout(ask, Math.min(milliseconds, LONGEST_TIMEOUT_MS));
    };
    const ask = () => {
      if (Date.now() < next) {
        askIn(next - Date.now() + 1000); // further off than a timer reaches
        return;
      }
      // A hidden tab has no stream either; it asks when it is seen again.
      if (document.visibilityState !== "hidden") {
        void client.invalidateQueries({ queryKey: JSON.parse(key), exact });
        times += 1;
      }
      if (times < MOST_TIMES) {
        askIn(AGAIN_MS);
      }
    };
    askIn(Math.max(next - Date.now(), 0) + 1000);
    return () => clearTimeout(timer);
  }, [client, next, key, exact]);
}
