/** A page of the app in the tests' document, and what a person finds on it. */

import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect } from "vitest";
import type { JobSummary } from "@/api/types";
import { App } from "@/app/app";
import { jobSummary } from "./examples";
import type { SmallServer } from "./small-server";

/** Open an address; answers with the person at the keyboard. */
export function openPage(path = "/") {
  window.history.replaceState(null, "", path);
  render(<App env="test" />);
  return userEvent.setup();
}

/** Send an event down the page's stream, as soon as it is open. */
export async function streamed(server: SmallServer, event: string, data: object, id: number) {
  await waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
  await act(async () => server.stream.send(event, data, id));
}

export const section = (name: string) => screen.findByRole("region", { name });

/** The names of the jobs in a section of the queue, from top to bottom. */
export const namesIn = async (name: string) =>
  within(await section(name))
    .getAllByRole("heading", { level: 3 })
    .map((heading) => heading.textContent);

export const waitingJob = (id: number, queue_position: number, changes: Partial<JobSummary> = {}) =>
  jobSummary({
    id,
    training_name: `job-${id}`,
    status: "queued",
    queue_position,
    waits_for: "device",
    started_at: null,
    ...changes,
  });
