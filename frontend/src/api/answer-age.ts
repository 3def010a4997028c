/**
 * How far the server's news had come when an answer was read.
 *
 * What happened after an answer and before the stream began is told by neither. The server writes
 * the number of its newest event on each answer, and a stream begins with one: an answer with the
 * same number, or a greater, misses nothing. Whatever has no number counts as old, and so does what
 * was made anew from an answer, by an event or by hand.
 */

const NEWS_HEADER = "Darkroom-News";

const newsOf = new WeakMap<object, number>();

/** Remember the number that came with an answer; `data` is its body. */
export function rememberAge(data: unknown, response: Response): void {
  const news = Number.parseInt(response.headers.get(NEWS_HEADER) ?? "", 10);
  if (isObject(data) && !Number.isNaN(news)) {
    newsOf.set(data, news);
  }
}

/** What was put together from several answers is as old as the oldest of them. */
export function ageOfOldest<Whole extends object>(whole: Whole, parts: object[]): Whole {
  const known = parts.map((part) => newsOf.get(part));
  if (known.length > 0 && known.every((news) => news !== undefined)) {
    newsOf.set(whole, Math.min(...known));
  }
  return whole;
}

/** The items of an answer, as old as it is. */
export function itemsOf<Item>(answer: { items: Item[] }): Item[] {
  return ageOfOldest(answer.items, [answer]);
}

/** True if `data` holds all that happened up to event `news`. */
export function holdsAllUpTo(news: number, data: unknown): boolean {
  if (!isObject(data)) {
    return false;
  }
  const parts = "pages" in data && Array.isArray(data.pages) ? data.pages : [data];
  return parts.every((part) => (newsOf.get(part) ?? Number.NEGATIVE_INFINITY) >= news);
}

function isObject(data: unknown): data is object {
  return typeof data === "object" && data !== null;
}
