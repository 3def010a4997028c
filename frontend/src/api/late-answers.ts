/**
 * An answer that was read before an event happened may arrive after it, and would undo what the
 * event told, or hide it for good where nothing was there to tell it to. So whoever applies an event
 * to a query that is being fetched has it fetched once more when that answer is there: by then the
 * server has read what the event spoke of. One fetch at a time, however many events there are.
 */

import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import { holdsAllUpTo } from "./answer-age";

/** Up to which event an answer that is on its way must know, or be asked for again. */
const wanted = new WeakMap<Query, number>();

/** `upTo`: an answer that holds all up to this event is good; without it none is. */
export function askAgainIfAsking(
  client: QueryClient,
  queryKey: QueryKey,
  upTo: number = Number.POSITIVE_INFINITY,
): void {
  const query = client.getQueryCache().find({ queryKey, exact: true });
  if (query === undefined || query.state.fetchStatus !== "fetching") {
    return;
  }
  const before = wanted.get(query);
  wanted.set(query, Math.max(before ?? 0, upTo));
  if (before !== undefined) {
    return;
  }
  const answered = query.promise ?? Promise.resolve();
  void answered
    .catch(() => undefined)
    .finally(() => {
      const news = wanted.get(query) ?? Number.POSITIVE_INFINITY;
      wanted.delete(query);
      if (!holdsAllUpTo(news, query.state.data)) {
        void client.invalidateQueries({ queryKey, exact: true });
      }
    });
}
