/** Whether a drawing can start, and what it waits for, in words. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { activeJobsQuery, jobQuery, queueQuery, systemQuery } from "@/api/queries";
import type { Device, DrawingEntry } from "@/api/types";
import { deviceName, namesOf } from "@/lib/device-name";
import { formatMoment } from "@/lib/format";
import { text } from "@/messages";
import { words } from "@/messages/drawings";

export interface Holder {
  name: string;
  /** The device's id. */
  device: string;
}

export interface Places {
  devices: Device[];
  holders: Holder[];
  /** Device ids, or `all`. */
  paused: string[];
  isWorkerAlive: boolean;
}

/** Null until all of it is known. `except`: a job that does not stand in its own way. */
export function usePlaces(except: number | null): Places | null {
  const system = useQuery(systemQuery).data;
  const queue = useQuery(queueQuery).data;
  const active = useQuery(activeJobsQuery).data?.filter(({ id }) => id !== except);
  const runs = useQueries({
    queries: (active ?? []).map(({ id }) => jobQuery(id)),
    combine: (jobs) => jobs.map(({ data }) => data?.runs.at(-1)?.device),
  });
  if (system === undefined || queue === undefined || active === undefined) {
    return null;
  }
  return {
    devices: system.devices,
    holders: active.flatMap(({ training_name }, index) => {
      const device = runs[index];
      return device === undefined ? [] : [{ name: training_name, device }];
    }),
    paused: queue.paused,
    isWorkerAlive: system.worker.alive,
  };
}

/** What a drawing for `gpu` would wait for now; `numAhead` jobs come before it. */
export function waitWords(places: Places, gpu: string, numAhead: number): string {
  const allowed = devicesFor(gpu, places.devices);
  const { paused, holders } = places;
  if (!places.isWorkerAlive) {
    return words.wait.away;
  }
  if (
    paused.includes("all") ||
    (allowed.length > 0 && allowed.every(({ id }) => paused.includes(id)))
  ) {
    return words.wait.paused;
  }
  const open = allowed.filter(({ id }) => !paused.includes(id));
  const held = holders.filter(({ device }) => open.some(({ id }) => id === device));
  const isFree = open.some(({ id }) => !holders.some(({ device }) => device === id));
  if (isFree || held.length === 0) {
    return numAhead > 0 ? words.wait.behind(numAhead) : words.wait.starts;
  }
  const named = held.map(({ name, device }) => words.wait.on(name, nameOf(device, places.devices)));
  return [words.wait.device(named), ...(numAhead > 0 ? [words.wait.behind(numAhead)] : [])].join(
    " ",
  );
}

/** The same of a drawing that is in the queue. */
export function waitWordsOf(drawing: DrawingEntry, gpu: string, places: Places): string {
  switch (drawing.waits_for) {
    case "time":
      return text.wait.time(formatMoment(drawing.not_before));
    case "job":
      return text.wait.job(text.wait.someJob(drawing.run_after_job_id ?? 0));
    case "larger_device":
      return words.wait.largerDevice(namesOf(drawing.too_small_devices, places.devices));
    default:
      return waitWords(places, gpu, (drawing.queue_position ?? 1) - 1);
  }
}

/** Any device is any card, and the processor only where there is no card. */
function devicesFor(gpu: string, devices: Device[]): Device[] {
  const cards = devices.filter(({ id }) => id !== "cpu");
  if (gpu === "any" && cards.length > 0) {
    return cards;
  }
  return devices.filter(({ id }) => id === (gpu === "any" ? "cpu" : gpu));
}

function nameOf(id: string, devices: Device[]): string {
  const device = devices.find((one) => one.id === id);
  return device === undefined || id === "cpu" ? words.wait.cpu : deviceName(device, devices);
}
