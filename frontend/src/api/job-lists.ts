/**
 * The jobs as the queue shows them: five lists, each fetched only as far as it is shown.
 *
 * A thousand finished jobs are a page of them and a button. What the stream says of a job puts it
 * where it belongs now; a place beyond what was fetched is left to the page that will bring it. A
 * filter is the server's to apply; here it only says whether a job that changed is in it still.
 */

import { ageOfOldest } from "./answer-age";
import { api } from "./client";
import type { JobStatus, JobSummary } from "./types";

export interface JobList {
  items: JobSummary[];
  /** Cursor of the next page; null at the end of the list. */
  next: string | null;
}

export type JobLists = Record<JobSection, JobList>;

/** A state, or `active`: under way, whichever of its states that is just now. */
export type WantedState = JobStatus | "active";

/** What a person looks for; empty or null leaves nothing out. */
export interface JobFilter {
  search: string;
  architecture: string | null;
  status: WantedState | null;
}

export const noFilter: JobFilter = { search: "", architecture: null, status: null };

interface SectionOf {
  statuses: JobStatus[];
  /** Of jobs that wait: whether a moment or another job holds them back. */
  scheduled?: boolean;
  order: "newest" | "queue" | "finished";
  /** The server's order, for what arrives after the fetch. Negative: the first stands higher. */
  compare: (one: JobSummary, other: JobSummary) => number;
}

const newest = (one: JobSummary, other: JobSummary) => other.id - one.id;
const ended = (job: JobSummary) => Date.parse(job.finished_at ?? job.updated_at);
const place = (job: JobSummary) => job.queue_position ?? Number.POSITIVE_INFINITY;
const nextFirst = (one: JobSummary, other: JobSummary) =>
  place(one) < place(other) ? -1 : place(one) > place(other) ? 1 : 0;

const sections = {
  running: { statuses: ["starting", "running", "stopping"], order: "newest", compare: newest },
  waiting: { statuses: ["queued"], scheduled: false, order: "queue", compare: nextFirst },
  scheduled: { statuses: ["queued"], scheduled: true, order: "queue", compare: nextFirst },
  drafts: { statuses: ["draft"], order: "newest", compare: newest },
  finished: {
    statuses: ["stopped", "completed", "failed", "interrupted"],
    order: "finished",
    compare: (one, other) => ended(other) - ended(one) || other.id - one.id,
  },
} satisfies Record<string, SectionOf>;

export type JobSection = keyof typeof sections;

export const sectionNames = Object.keys(sections) as JobSection[];

/** The states that a job may be in to be wanted. */
export function statusesOf(wanted: WantedState): JobStatus[] {
  return wanted === "active" ? sections.running.statuses : [wanted];
}

const FIRST_PAGE = 25;
const NEXT_PAGE = 50;
/** The most that the server gives at once. */
const LARGEST_PAGE = 500;

/** The beginning of each list; of what is shown already, as much as is shown. */
export async function fetchJobLists(
  filter: JobFilter,
  shown: JobLists | undefined,
  signal?: AbortSignal,
): Promise<JobLists> {
  const lists = await Promise.all(
    sectionNames.map((name) =>
      fetchBeginning(name, filter, shown?.[name].items.length ?? 0, signal),
    ),
  );
  const named = sectionNames.map((name, index) => [name, lists[index]]);
  return ageOfOldest(Object.fromEntries(named) as JobLists, lists);
}

async function fetchBeginning(
  name: JobSection,
  filter: JobFilter,
  shown: number,
  signal?: AbortSignal,
): Promise<JobList> {
  const wanted = Math.max(shown, FIRST_PAGE);
  const list: JobList = { items: [], next: null };
  if (!isInSight(name, filter)) {
    return list;
  }
  const pages: JobList[] = [];
  do {
    const limit = Math.min(wanted - list.items.length, LARGEST_PAGE);
    const page = await fetchJobs(name, filter, limit, list.next, signal);
    pages.push(page);
    list.items.push(...page.items);
    list.next = page.next;
  } while (list.next !== null && list.items.length < wanted);
  return ageOfOldest(list, pages);
}

/** The page behind the cursor `after`. */
export function fetchMoreJobs(
  name: JobSection,
  filter: JobFilter,
  after: string,
): Promise<JobList> {
  return fetchJobs(name, filter, NEXT_PAGE, after);
}

async function fetchJobs(
  name: JobSection,
  { search, architecture, status }: JobFilter,
  limit: number,
  after: string | null,
  signal?: AbortSignal,
): Promise<JobList> {
  const { statuses, scheduled, order }: SectionOf = sections[name];
  const wanted = {
    status: status === null ? statuses : statusesOf(status).filter((one) => statuses.includes(one)),
    ...(scheduled === undefined ? {} : { scheduled }),
    ...(search === "" ? {} : { search }),
    ...(architecture === null ? {} : { architecture }),
  };
  const page = await api.jobs({ ...wanted, order, limit, after }, signal);
  return ageOfOldest({ items: page.items, next: page.next ?? null }, [page]);
}

/** The lists with one more page of one of them. */
export function withPage(lists: JobLists, name: JobSection, page: JobList): JobLists {
  const fetched = new Set(page.items.map(({ id }) => id));
  const others = lists[name].items.filter(({ id }) => !fetched.has(id));
  const items = [...others, ...page.items].sort(sections[name].compare);
  return { ...lists, [name]: { items, next: page.next } };
}

/** The lists with this job as it is now, wherever it was before; without it if it is not wanted. */
export function withJob(lists: JobLists, job: JobSummary, filter = noFilter): JobLists {
  if (!isWanted(job, filter)) {
    return withoutJob(lists, job.id);
  }
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

/** Whether a filter is any at all. */
export function isFiltered({ search, architecture, status }: JobFilter): boolean {
  return search !== "" || architecture !== null || status !== null;
}

/** Whether a section can hold anything that the filter wants. */
export function isInSight(name: JobSection, { status }: JobFilter): boolean {
  const { statuses }: SectionOf = sections[name];
  return status === null || statusesOf(status).some((one) => statuses.includes(one));
}

function isWanted(job: JobSummary, { search, architecture, status }: JobFilter): boolean {
  return (
    job.training_name.toLowerCase().includes(search.toLowerCase()) &&
    (architecture === null || job.architecture === architecture) &&
    (status === null || statusesOf(status).includes(job.status))
  );
}

/** Whether a moment or another job holds it back; else only a device, or a pause. */
export function isScheduled(job: JobSummary): boolean {
  return job.waits_for === "time" || job.waits_for === "job";
}

function sectionOf(job: JobSummary): JobSection {
  const name = sectionNames.find((one) => {
    const { statuses, scheduled }: SectionOf = sections[one];
    return (
      statuses.includes(job.status) && (scheduled === undefined || scheduled === isScheduled(job))
    );
  });
  if (name === undefined) {
    throw new Error(`No list holds jobs that are ${job.status}.`);
  }
  return name;
}
