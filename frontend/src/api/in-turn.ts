let last: Promise<unknown> = Promise.resolve();

/** Ask once everything that was asked in turn before has been answered, or has failed. */
export function inTurn<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  const mine = last.then(ask);
  last = mine.catch(() => undefined);
  return mine;
}
