import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { JobSummary } from "@/api/types";

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * No event says that a job's moment has come: what `queryKey` names is fetched again when the first
 * has. `exact`: that query alone.
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
    // A second later: the server's clock decides, and may be behind this one.
    const wait = Math.min(Math.max(next - Date.now(), 0) + 1000, LONGEST_TIMEOUT_MS);
    const timer = setTimeout(
      () => void client.invalidateQueries({ queryKey: JSON.parse(key), exact }),
      wait,
    );
    return () => clearTimeout(timer);
  }, [client, next, key, exact]);
}
