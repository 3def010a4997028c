/** What came of several things: of each an answer or an error. */
export interface Tried<Answer = unknown> {
  answers: Answer[];
  errors: unknown[];
}

/** Does it to one after the other; one that fails keeps no other back. */
export async function tryEach<Item, Answer>(
  items: Item[],
  deed: (item: Item) => Promise<Answer>,
): Promise<Tried<Answer>> {
  const tried: Tried<Answer> = { answers: [], errors: [] };
  for (const item of items) {
    try {
      tried.answers.push(await deed(item));
    } catch (error) {
      tried.errors.push(error);
    }
  }
  return tried;
}
