/**
 * The jobs as the queue shows them: four lists, each fetched only as far as it is shown.
 *
 * A thousand finished jobs are a page of them and a button. What the stream says of a job puts it
 * where it belongs now; a place beyond what was fetched is left to the page that will bring it.
 */

import { api } from "./client";
import type { JobStatus, JobSummary } from "./types";

export interface JobList {
  items: JobSummary[];
  /** Cursor of the next page; null at the end of the list. */
  next: string | null;
}

export type JobLists = Record<JobSection, JobList>;

interface SectionOf {
  statuses: JobStatus[];
  order: "newest" | "queue" | "finished";
  /** The server's order, for what arrives after the fetch. Negative: the first stands higher. */
  compare: (one: JobSummary, other: JobSummary) => number;
}

const newest = (one: JobSummary, other: JobSummary) => other.id - one.id;
const ended = (job: JobSummary) => Date.parse(job.finished_at ?? job.updated_at);
const place = (job: JobSummary) => job.queue_position ?? Number.POSITIVE_INFINITY;

const sections = {
  running: { statuses: ["starting", "running", "stopping"], order: "newest", compare: newest },
  waiting: {
    statuses: ["queued"],
    order: "queue",
    compare: (one, other) => (place(one) < place(other) ? -1 : place(one) > place(other) ? 1 : 0),
  },
  drafts: { statuses: ["draft"], order: "newest", compare: newest },
  finished: {
    statuses: ["stopped", "completed", "failed", "interrupted"],
    order: "finished",
    compare: (one, other) => ended(other) - ended(one) || other.id - one.id,
  },
} satisfies Record<string, SectionOf>;

export type JobSection = keyof typeof sections;

const sectionNames = Object.keys(sections) as JobSection[];

const FIRST_PAGE = 25;
const NEXT_PAGE = 50;
/** The most that the server gives at once. */
const LARGEST_PAGE = 500;

/** The beginning of each list; of what is shown already, as much as is shown. */
export async function fetchJobLists(
  shown: JobLists | undefined,
  signal?: AbortSignal,
): Promise<JobLists> {
  const lists = await Promise.all(
    sectionNames.map((name) => fetchBeginning(name, shown?.[name].items.length ?? 0, signal)),
  );
  return Object.fromEntries(sectionNames.map((name, index) => [name, lists[index]])) as JobLists;
}

async function fetchBeginning(
  name: JobSection,
  shown: number,
  signal?: AbortSignal,
): Promise<JobList> {
  const wanted = Math.max(shown, FIRST_PAGE);
  const list: JobList = { items: [], next: null };
  do {
    const limit = Math.min(wanted - list.items.length, LARGEST_PAGE);
    const page = await fetchJobs(name, limit, list.next, signal);
    list.items.push(...page.items);
    list.next = page.next;
  } while (list.next !== null && list.items.length < wanted);
  return list;
}

/** The page behind the cursor `after`. */
export function fetchMoreJobs(name: JobSection, after: string): Promise<JobList> {
  return fetchJobs(name, NEXT_PAGE, after);
}

async function fetchJobs(
  name: JobSection,
  limit: number,
  after: string | null,
  signal?: AbortSignal,
): Promise<JobList> {
  const { statuses, order } = sections[name];
  const page = await api.jobs({ status: statuses, order, limit, after }, signal);
  return { items: page.items, next: page.next ?? null };
}

/** The lists with one more page of one of them. */
export function withPage(lists: JobLists, name: JobSection, page: JobList): JobLists {
  const fetched = new Set(page.items.map(({ id }) => id));
  const others = lists[name].items.filter(({ id }) => !fetched.has(id));
  const items = [...others, ...page.items].sort(sections[name].compare);
  return { ...lists, [name]: { items, next: page.next } };
}

/** The lists with this job as it is now, wherever it was before. */
export function withJob(lists: JobLists, job: JobSummary): JobLists {
  const name = sectionOf(job);
  const wasHere = lists[name].items.some(({ id }) => id === job.id);
  const without = withoutJob(lists, job.id);
  const { items, next } = without[name];
  const placed = [...items, job].sort(sections[name].compare);
  const isBeyond = next !== null && !wasHere && placed[placed.length - 1] === job;
  return isBeyond ? without : { ...without, [name]: { items: placed, next } };
}

export function withoutJob(lists: JobLists, id: number): JobLists {
  const entries = sectionNames.map((name) => {
    const { items, next } = lists[name];
    return [name, { items: items.filter((job) => job.id !== id), next }];
  });
  return Object.fromEntries(entries) as JobLists;
}

export function findJob(lists: JobLists | undefined, id: number): JobSummary | undefined {
  return sectionNames.flatMap((name) => lists?.[name].items ?? []).find((job) => job.id === id);
}

export function hasNoJobs(lists: JobLists): boolean {
  return sectionNames.every((name) => lists[name].items.length === 0);
}

function sectionOf(job: JobSummary): JobSection {
  const name = sectionNames.find((one) =>
    (sections[one].statuses as JobStatus[]).includes(job.status),
  );
  if (name === undefined) {
    throw new Error(`No list holds jobs that are ${job.status}.`);
  }
  return name;
}
