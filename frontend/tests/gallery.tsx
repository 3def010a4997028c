/** A gallery in the tests' document: two prompts at three steps, unless told otherwise. */

import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { vi } from "vitest";
import { LiveProvider } from "@/api/live";
import type { Sample } from "@/api/types";
import { Gallery } from "@/features/samples/gallery";
import type { GalleryJob } from "@/features/samples/gallery-model";
import { sample } from "./examples";

const STEPS = [0, 50, 100];
export const samples = STEPS.flatMap((step, column) =>
  ["a fox", "a hat"].map((prompt, row) => sample(column * 2 + row + 1, step, row, prompt)),
);

export const mark = vi.fn();

export const client = new QueryClient();

const nothing = () => {};

/** As the page has it: what is deleted is gone at once, and so is a star. */
function Page({ jobs, step }: { jobs: GalleryJob[]; step: number | null }) {
  const [gone, setGone] = useState<number[]>([]);
  const [starred, setStarred] = useState<Record<number, boolean>>({});
  const marked = (one: Sample) => ({ ...one, is_starred: starred[one.id] ?? one.is_starred });
  const left = jobs.map((job) => ({
    ...job,
    samples: job.samples.filter(({ id }) => !gone.includes(id)).map(marked),
  }));
  return (
    <Gallery
      jobs={left}
      step={step}
      onMark={(picture, marks) => {
        mark(picture, marks);
        setStarred((before) => ({ ...before, [picture.id]: marks.starred ?? picture.is_starred }));
      }}
      onRemove={(pictures) => {
        removed(pictures.map(({ jobId, sample: { id } }) => [jobId, id]));
        setGone((before) => [...before, ...pictures.map(({ sample: { id } }) => id)]);
      }}
    />
  );
}

export const removed = vi.fn();

export function open(change: Partial<GalleryJob> = {}, ...others: GalleryJob[]) {
  return openAt(null, change, ...others);
}

export function openAt(
  step: number | null,
  change: Partial<GalleryJob> = {},
  ...others: GalleryJob[]
) {
  const job: GalleryJob = { id: 1, name: "ink", samples, failures: [], ...change };
  page = render(pageOf([job, ...others], step));
  return userEvent.setup();
}

/** The same page after its jobs have changed elsewhere. */
export function changeTo(change: Partial<GalleryJob>) {
  const job: GalleryJob = { id: 1, name: "ink", samples, failures: [], ...change };
  page.rerender(pageOf([job], null));
}

let page: ReturnType<typeof render>;

const pageOf = (jobs: GalleryJob[], step: number | null) => (
  <MantineProvider env="test">
    <QueryClientProvider client={client}>
      <LiveProvider onStatusMoved={nothing} onAlarm={nothing} onUnauthorized={nothing}>
        <Page jobs={jobs} step={step} />
      </LiveProvider>
    </QueryClientProvider>
  </MantineProvider>
);

export const cell = (name: string) => screen.getByRole("button", { name });
export const lightbox = () => screen.findByRole("dialog", { name: "Sample" });
