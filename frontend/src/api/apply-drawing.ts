/** What the events of a drawing, which are a job's, do to the drawings that were fetched. */

import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { askAgainIfAsking } from "./late-answers";
import { keys } from "./queries";
import type { DrawingEntry, DrawnPicture, JobSummary, Sample, WholeDrawing } from "./types";

type Listed = InfiniteData<{ items: DrawingEntry[]; next?: string | null }>;

/** A drawing as the page shows it, by itself or in the list. */
export function knownDrawing(client: QueryClient, id: number): DrawingEntry | undefined {
  const pages = client.getQueryData<Listed>(keys.drawings)?.pages ?? [];
  return (
    client.getQueryData<WholeDrawing>(keys.drawing(id)) ??
    pages.flatMap(({ items }) => items).find((one) => one.id === id)
  );
}

/** `hasMoved`: its state is another, and with it that of the pictures which are not there. */
export function applyDrawing(client: QueryClient, summary: JobSummary, hasMoved: boolean): void {
  const isNew = knownDrawing(client, summary.id) === undefined;
  changeDrawing(client, summary.id, (drawing) => ({ ...drawing, ...summary }));
  if (hasMoved) {
    void client.invalidateQueries({ queryKey: keys.drawing(summary.id) });
  }
  if (isNew) {
    void client.invalidateQueries({ queryKey: keys.drawings });
  }
}

export function applyDrawingDeleted(client: QueryClient, id: number): void {
  client.setQueryData<Listed>(keys.drawings, (listed) =>
    onEveryPage(listed, (items) => items.filter((one) => one.id !== id)),
  );
  askAgainIfAsking(client, keys.drawings);
}

/** A picture is there, or has been marked. */
export function applyDrawnPicture(client: QueryClient, id: number, sample: Sample): void {
  changeDrawing(client, id, (drawing) => ({
    ...drawing,
    pictures: drawing.pictures.map(
      (picture): DrawnPicture =>
        picture.index === sample.prompt_index
          ? { ...picture, state: "drawn", message: null, sample }
          : picture,
    ),
  }));
}

function changeDrawing(
  client: QueryClient,
  id: number,
  next: <Known extends DrawingEntry>(drawing: Known) => Known,
): void {
  client.setQueryData<WholeDrawing>(keys.drawing(id), (drawing) => drawing && next(drawing));
  askAgainIfAsking(client, keys.drawing(id));
  client.setQueryData<Listed>(keys.drawings, (listed) =>
    onEveryPage(listed, (items) => items.map((one) => (one.id === id ? next(one) : one))),
  );
  askAgainIfAsking(client, keys.drawings);
}

function onEveryPage(
  listed: Listed | undefined,
  next: (items: DrawingEntry[]) => DrawingEntry[],
): Listed | undefined {
  return (
    listed && {
      ...listed,
      pages: listed.pages.map((page) => ({ ...page, items: next(page.items) })),
    }
  );
}
