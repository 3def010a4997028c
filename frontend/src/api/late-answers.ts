/**
 * An answer that was read before an event happened may arrive after it, and would undo what the
 * event told, or hide it for good where nothing was there to tell it to. So whoever applies an event
 * to a query that is being fetched has it fetched once more when that answer is there: by then the
 * server has read what the event spoke of. One fetch at a time, however many events there are.
 */

import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";

const waiting = new WeakSet<Query>();

export function askAgainIfAsking(client: QueryClient, queryKey: QueryKey): void {
  const query = client.getQueryCache().find({ queryKey, exact: true });
  if (query === undefined || query.state.fetchStatus !== "fetching" || waiting.has(query)) {
    return;
  }
  waiting.add(query);
  const answered = query.promise ?? Promise.resolve();
  void answered
    .catch(() => undefined)
    .finally(() => {
      waiting.delete(query);
      void client.invalidateQueries({ queryKey, exact: true });
    });
}
