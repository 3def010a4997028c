/** What the queue page says besides the jobs themselves: finding, ordering, choosing, pausing. */

const jobs = (count: number) => `${count} ${count === 1 ? "job" : "jobs"}`;

export const enQueue = {
  find: {
    label: "Find jobs",
    search: "Search by name",
    state: "State",
    anyState: "Any state",
    active: "Under way",
    architecture: "Architecture",
    anyArchitecture: "Any architecture",
    option: (name: string, count: number) => `${name} (${count})`,
    clear: "Show all jobs",
    none: "No job is like that.",
    unread: (why: string) => `The jobs could not be looked through. ${why}`,
    found: (count: number, isMore: boolean) =>
      `${count}${isMore ? " or more" : ""} ${count === 1 && !isMore ? "job" : "jobs"} found.`,
  },

  order: {
    handle: (name: string, position: number) => `Move ${name}, number ${position} in the queue`,
    help: "Drag, or use the arrow keys; Home and End move to the top and the bottom.",
    title: "Order",
    up: "Move up",
    down: "Move down",
    top: "Move to the top",
    bottom: "Move to the bottom",
    isFirst: (name: string) => `${name} is the next to start already.`,
    isLast: (name: string) => `${name} is the last one already.`,
    moved: (name: string, position: number | null) => `${name} is number ${position ?? "?"} now.`,
    movedTo: (name: string, position: number | null, priority: string) =>
      `${name} is number ${position ?? "?"} now, with ${priority.toLowerCase()}.`,
    move: "Moving a job",
  },

  priority: {
    title: "Priority",
    names: { "1": "High priority", "0": "Normal priority", "-1": "Low priority" } as Record<
      string,
      string
    >,
    short: { "1": "High", "0": "Normal", "-1": "Low" } as Record<string, string>,
    change: "Changing the priority",
  },

  wait: {
    device: "waits for a free device",
    card: "waits for a graphics card that is not seen now: see to its driver, or choose the CPU in the job",
    largerDevice: (small: string[]) =>
      small.length === 0
        ? "waits for a larger GPU"
        : `waits for a larger GPU than ${small.join(" or ")}, whose memory it does not fit`,
    pause: "the queue is paused",
    time: (when: string) => `not before ${when}`,
    job: (name: string) => `after ${name}`,
    jobWontComplete: (name: string, status: string) =>
      `after ${name}, which is ${status.toLowerCase()}: it starts once that one has completed`,
    someJob: (id: number) => `job ${id}`,
  },

  schedule: {
    open: "When it starts…",
    title: (name: string) => `When ${name} starts`,
    notBefore: "Not before",
    notBeforeHelp: "Blank: as soon as its turn has come.",
    runAfter: "After another job has completed",
    runAfterNone: "After no other",
    save: "Save",
    saved: (name: string) => `When ${name} starts was changed.`,
    change: "Changing when it starts",
  },

  pause: {
    pause: "Pause the queue",
    resume: "Resume the queue",
    title: "The queue is paused",
    body: "What runs goes on; nothing else starts.",
    device: (name: string) => `Pause ${name}`,
    resumeDevice: (name: string) => `Resume ${name}`,
    devicePaused: "Paused: no job starts here",
    paused: "The queue is paused.",
    resumed: "The queue goes on.",
  },

  selection: {
    choose: (name: string) => `Choose ${name}`,
    chooseAll: (section: string) => `Choose all jobs shown under ${section}`,
    bar: "What to do with the chosen jobs",
    count: (count: number) => `${jobs(count)} chosen`,
    clear: "Choose none",
    queue: (count: number) => `Queue ${count}`,
    stop: (count: number) => `Stop ${count}`,
    delete: (count: number) => `Delete ${count}`,
    deleteTitle: (count: number) => `Delete ${jobs(count)}?`,
    deleteConfirm: (count: number) => `Delete ${jobs(count)}`,
    done: {
      queue: (count: number) => `${jobs(count)} queued.`,
      stop: (count: number) => `${jobs(count)} stopped or taken out of the queue.`,
      priority: (count: number) => `The priority of ${jobs(count)} was changed.`,
      delete: (count: number) => `${jobs(count)} deleted.`,
    },
    failed: (failed: number, all: number) => `${failed} of ${jobs(all)} could not be changed`,
    progress: (done: number, all: number) => `${done} of ${all}`,
  },

  undo: {
    label: "Undo",
    name: "Bringing it back",
    done: (count: number) => `${jobs(count)} brought back.`,
    some: (back: number, not: number) => `${jobs(back)} brought back, ${not} not`,
  },

  alarms: {
    title: (count: number) => (count === 1 ? "Look at this" : `Look at these ${count} things`),
    since: (when: string) => `Since ${when}`,
    raised: (name: string, message: string) => `${name}: ${message}`,
    over: (name: string) => `${name}: that is over.`,
  },

  glance: {
    running: (percent: number) => `▶ ${percent} %`,
    starting: "▶",
    several: (count: number) => `▶ ${count} at work`,
    failed: "✕ Failed",
    interrupted: "✕ Interrupted",
    completed: "✓ Completed",
    paused: "⏸ Paused",
    waiting: (count: number) => `${count} waiting`,
    label: "The queue at a glance",
    drawings: (count: number) => (count === 1 ? "drawing" : "drawings"),
  },
};
