/**
 * What the address shows is asked for before the page is built: its answers and its code.
 *
 * `main.tsx` imports this module before any other. So the server puts a large gallery's answer
 * together while the browser still reads what all pages share; asked by the page itself, it would
 * begin when the page's frame is drawn. And code that is there by then needs no stand-in, which
 * React, once it is shown, keeps for 300 ms.
 */

import type { QueryClient } from "@tanstack/react-query";
import { jobQuery, samplesQuery } from "@/api/queries";
import { newQueryClient } from "./query-client";

export const loadGalleryPage = () => import("./pages/gallery-page");

/** What a page of pictures shows. */
export const picturesQueries = (jobId: number) => [jobQuery(jobId), samplesQuery(jobId)] as const;

export function askFirst(client: QueryClient, pathname: string): void {
  const pictures = /^\/jobs\/(\d{1,15})\/gallery\/?$/.exec(pathname);
  if (pictures !== null) {
    const [job, samples] = picturesQueries(Number(pictures[1]));
    void client.prefetchQuery(job);
    void client.prefetchQuery(samples);
    // The page asks again, and says so, should this fail.
    loadGalleryPage().catch(() => undefined);
  }
}

export const pageClient = newQueryClient();
askFirst(pageClient, window.location.pathname);
