/**
 * Every sentence of the page, in English. Labels and helps of a job's settings come from the job
 * schema, and what is wrong with a job from the server; neither stands here. The queue page, the
 * job page and the machine have files of their own beside this one.
 */

import type { FailureClass } from "@/api/types";
import { enJob } from "./en-job";
import { enMachine } from "./en-machine";
import { enQueue } from "./en-queue";
import { checkpoints, samples } from "./gallery";

const plural = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`;

export const en = {
  ...enQueue,
  ...enJob,
  ...enMachine,

  app: {
    name: "Darkroom",
    skipToContent: "Skip to content",
    mainNavigation: "Main",
    queue: "Queue",
    newJob: "New job",
    tryIt: "Try it",
    system: "System",
    colorScheme: "Colour scheme",
    colorSchemeNames: { auto: "System", light: "Light", dark: "Dark" },
    switchTo: (name: string) => `Colour scheme: switch to ${name}`,
    notFoundTitle: "Nothing here",
    notFound: "This page does not exist. It may have been deleted.",
    backToQueue: "Back to the queue",
    loading: "Loading",
  },

  connection: {
    awayTitle: "The server is not answering",
    away: "What you see may be out of date. The page mends itself as soon as the server is back.",
    retryIn: (seconds: number) =>
      seconds > 0 ? `Next attempt in ${seconds} s.` : "Trying to reach it…",
    retryNow: "Try now",
    back: "The server is back.",
  },

  errors: {
    unknown: (status: number) => `The server answered with status ${status}.`,
    serverAway: "The server is not answering.",
    panelTitle: "This could not be loaded",
    crashedTitle: "This part of the page broke",
    crashed: "The rest still works, and nothing you typed is lost.",
    missingTitle: "This part of the page could not be fetched",
    missingAway: "It is fetched again as soon as the server answers. Nothing you typed is lost.",
    missingGone:
      "The server answers, but not with this part: it may have been updated. Trying again loads the page anew; nothing you typed is lost.",
    retry: "Try again",
    actionFailed: (action: string) => `${action} did not work`,
  },

  token: {
    title: "This Darkroom is locked",
    explanation: "It can be reached from other machines, so it asks for its access token.",
    label: "Access token",
    help: "The value of DARKROOM_TOKEN where the server was started.",
    submit: "Unlock",
    wrong: "This is not the token.",
  },

  status: {
    draft: "Draft",
    queued: "Waiting",
    starting: "Starting",
    running: "Running",
    stopping: "Stopping",
    stopped: "Stopped",
    completed: "Completed",
    failed: "Failed",
    interrupted: "Interrupted",
  },

  phase: {
    download: "Downloading the model",
    load: "Loading the model",
    encode: "Encoding",
    train: "Training",
    validate: "Measuring",
    sample: "Drawing samples",
    save: "Saving",
    finish: "Finishing",
  } as Record<string, string>,

  queue: {
    title: "Queue",
    stateMissing: "Whether the queue is paused could not be loaded",
    running: "Running",
    waiting: "Waiting",
    scheduled: "Scheduled",
    drafts: "Drafts",
    finished: "Finished",
    nothingRunning: "Nothing is running. Queue a job and it starts here.",
    nothingWaiting: "No job is waiting.",
    nothingFinished: "Finished jobs stay here with their pictures and files.",
    showMore: "Show more",
    shownMore: (count: number) => `${plural(count, "more job", "more jobs")} shown.`,
    atLeast: (count: number) => `${count}+`,
    workerAwayTitle: "The worker is away",
    workerAway: (lastSeen: string | null) =>
      `Waiting jobs start when it is back${lastSeen === null ? "" : `; it was last seen ${lastSeen}`}. ` +
      "Start it with darkroom up, or with darkroom work beside a running server. A training that is under way goes on without it.",
    statusChanged: (name: string, status: string) => `${name}: ${status}`,
    emptyTitle: "Teach FLUX.2 your own style",
    emptyLead: "Nothing has been trained here yet. It takes three steps.",
    emptySteps: [
      {
        title: "Bring pictures",
        body: "Put 15 to 60 pictures in a folder of the datasets folder, each with a caption in a text file of the same name.",
      },
      {
        title: "Fill in a job",
        body: "Give it a name, choose the pictures, keep the defaults. The form checks every setting while you type.",
      },
      {
        title: "Watch it learn",
        body: "Queue it. Pictures and curves arrive while it trains, and every checkpoint can be downloaded.",
      },
    ],
    openExample: "Open the example job",
    exampleMissed: "The example job could not be loaded",
    exampleHint:
      "The example trains the bundled tiny model on the bundled pictures: a few minutes on any CPU.",
    exampleMissing: (datasets: string[]) =>
      `There is an example job as well, but its pictures are not here: copy ${datasets.join(" and ")} from the folder datasets of Darkroom's repository into your datasets folder.`,
    startOwn: "Start from scratch",
  },

  job: {
    step: "Step",
    stepOf: (step: string, total: string) => `${step} / ${total}`,
    steps: (step: string, total: string) => `${step} of ${total} steps`,
    allSteps: (total: string) => `${total} steps`,
    loss: "Loss",
    lossOf: (loss: string) => `loss ${loss}`,
    stepTime: "Step time",
    stepTimeWithBest: (now: string, best: string) => `${now}, best ${best}`,
    lastSign: "Last sign",
    lastSignHelp: "When its trainer last said something",
    eta: "Time left",
    finishes: "Finishes",
    finished: "Finished",
    duration: "Took",
    position: (position: number) => `No. ${position}`,
    next: "Next",
    progressOf: (name: string) => `Progress of ${name}`,
    unnamed: "Untitled draft",
    back: "Queue",
  },

  actions: {
    queue: "Queue",
    queueAgain: "Queue again",
    resume: "Resume",
    stop: "Stop",
    unqueue: "Unqueue",
    edit: "Edit",
    clone: "Clone",
    compare: "Compare",
    delete: "Delete",
    saveNow: "Save now",
    sampleNow: "Sample now",
    more: (name: string) => `More actions for ${name}`,
    cancel: "Cancel",
    deleteTitle: (name: string) => `Delete ${name}?`,
    deleteStopsFirst: "It runs: it finishes its step, saves and stops, and is deleted then.",
    deleteBody:
      "It leaves the list. Its folder with samples and checkpoints stays where it is unless you choose otherwise.",
    deleteFiles: "Also move its output folder to the trash",
    deleteFilesHelp: "From there it can be brought back until it expires.",
    deleteConfirm: "Delete job",
    deleted: (name: string) => `${name} was deleted.`,
    deletedLater: (name: string) => `${name} is being stopped, and is deleted then.`,
    queued: (name: string) => `${name} is in the queue.`,
    stopping: (name: string) => `${name} finishes its step, saves and stops.`,
    unqueued: (name: string) => `${name} is out of the queue.`,
    saving: "It saves after the step it is in.",
    sampling: "It draws samples after the step it is in.",
  },

  form: {
    newTitle: "New job",
    editTitle: (name: string) => `Edit ${name}`,
    lead: "Every setting is checked by the server while you type.",
    panels: "Panels",
    noEffect: (when: string) => `No effect when: ${when}`,
    reset: (value: string) => `Reset to ${value}`,
    resetLabel: (label: string, value: string) => `Reset to ${value}: ${label}`,
    blank: "blank",
    none: "none",
    on: "on",
    off: "off",
    addItem: (title: string) => `Add ${title}`,
    removeItem: (title: string, number: number) => `Remove ${title} ${number}`,
    item: (title: string, number: number) => `${title} ${number}`,
    singular: { Datasets: "dataset", Prompts: "prompt" } as Record<string, string>,
    itemFallback: "entry",
    ownSettings: "Settings of its own",
    view: "Show the job",
    asForm: "As a form",
    asYaml: "As YAML",
    jsonBad: "This is not JSON yet.",
    checking: "Checking…",
    ready: "Ready to queue",
    problems: (count: number) => plural(count, "problem", "problems"),
    problemsWord: (count: number) => (count === 1 ? "problem" : "problems"),
    copyName: (name: string) => `${name}-copy`,
    problemsTitle: (count: number) =>
      count === 1 ? "One thing stands in the way" : `${count} things stand in the way`,
    warningsTitle: (count: number) =>
      count === 1 ? "Worth knowing" : `${count} notes worth knowing`,
    missingTitle: "Still to fill in",
    missing: (count: number) => `${count} still to fill in`,
    notChecked: "Not checked: the server is not answering.",
    checkFailed: "Not checked: the server could not work it out. It is asked again.",
    goToField: (label: string) => `Go to ${label}`,
    saveDraft: "Save draft",
    save: "Save changes",
    queueJob: "Queue job",
    saveAndQueue: "Save and queue",
    saved: "Saved.",
    restored: (when: string) => `Restored what you typed ${when}.`,
    discard: "Discard",
    keptHere: "Unsaved changes are kept in this browser.",
    remove: "Remove",
    addToList: "Type one and press Enter",
    addMore: "Add…",
    deviceAny: "Any free GPU",
    deviceCpu: "CPU",
    deviceMissing: (id: string) => `${id} (not in this machine)`,
    notEditableTitle: "This job cannot be edited now",
    notEditable: (status: string) =>
      `It is ${status.toLowerCase()}. Stop it first, or clone it into a new job.`,
    openJob: "Open the job",
  },

  changes: {
    open: "Change settings",
    title: "Change while it trains",
    lead: "The trainer takes a change between two steps, whole or not at all. Everything else can change once the job is stopped.",
    close: "Close",
    count: (count: number) =>
      count === 0
        ? "Nothing is changed yet."
        : plural(count, "setting changed", "settings changed"),
    send: "Send to the trainer",
    sent: "Sent. The trainer takes it after the step it is in.",
    list: "Changes asked for",
    panelTitle: "Changes while it ran",
    waiting: "Asked for, waiting for the trainer",
    taken: (step: string) => `Taken at step ${step}`,
    refused: (step: string) => `Refused at step ${step}`,
    unanswered: "The run ended before it answered",
    answer: (outcome: string) => `Change of settings: ${outcome.toLowerCase()}.`,
    notRunningTitle: "It is not running now",
    notRunning: "Edit the job instead: it goes on from where it stopped, with any settings.",
  },

  yaml: {
    title: "The job as YAML",
    help: "What you type here is in the form as well, as soon as it can be read. This is the file that python -m trainer run takes.",
    problems: "What is wrong with the text",
    giveUp: "Go back to what the form holds",
    unreadable: "The text cannot be read as a job. What is wrong with it stands above it.",
    line: (line: number) => `Line ${line}`,
  },

  compare: {
    title: (name: string) => `Compare ${name}`,
    with: "With",
    choose: "Name of a job",
    chooseFirst: "Choose the job to compare with.",
    none: "There is no other job of that name.",
    gone: "This job is no longer there. Choose another.",
    setting: "Setting",
    differing: (count: number) =>
      count === 0 ? "No setting differs" : plural(count, "setting differs", "settings differ"),
    same: "Both jobs have the same settings.",
    all: "Show all settings",
    notThere: "not there",
  },

  datasets: {
    none: "none",
    emptyTitle: "The datasets folder is empty",
    empty: (folder: string) =>
      `Make a folder in ${folder} and put pictures in it, each with a caption in a text file of the same name.`,
    folderFallback: "the datasets folder",
    counts: (pictures: number, captioned: number) =>
      `${plural(pictures, "picture", "pictures")}, ${captioned === pictures ? "all captioned" : `${captioned} captioned`}`,
    problems: (count: number) => plural(count, "problem", "problems"),
    missing: (name: string) => `There is no dataset called “${name}” in the folder.`,
    other: "Name of a folder",
    refresh: "Look again",
  },

  samples,

  curve: {
    title: "Curve",
    noMeasurements: "The measurements could not be loaded",
    loss: "Loss",
    smoothed: "Smoothed",
    validation: "Validation",
    preservation: "Preservation",
    objective: "Objective",
    withTrigger: "Change with trigger",
    withoutTrigger: "Drift without trigger",
    learningRate: "Learning rate",
    gradientNorm: "Gradient norm",
    stepTime: "Step time",
    series: "Series",
    log: "Log scale",
    smoothing: "Smoothing",
    emptyTitle: "No steps yet",
    emptyWaiting: "The curve starts with the first training step.",
    emptyNever: "This job has trained no step.",
    emptyRun: "This run has trained no step.",
    run: "Runs in the curve",
    allRuns: "All runs",
    ofRun: (name: string, run: number) => `${name}, run ${run}`,
    step: "Step",
    summary: (series: string, value: string, step: string) => `${series} ${value} at step ${step}`,
    chartOf: (name: string) => `Curve of ${name}`,
    missing: "Why some curves are not here",
    noValidation:
      "Validation: Validation (Advanced) is off, or nothing was measured yet. It measures on pictures that never train.",
    noPreservation:
      "Preservation: Differential Output Preservation (Regularization) is off, or no step had a term of it yet.",
    noObjective:
      "Objective: it is the loss itself. Differential Guidance, weights and preservation make it another.",
    noProbe:
      "Change and drift: the Preservation Probe (Advanced) is off, or it has not measured yet.",
    beside: "Lay another job's curves over it",
    besideNothing: "No job of that name has curves.",
    inSight: (first: string, last: string) => `Steps ${first} to ${last}`,
    firstStep: "First step in sight",
    lastStep: "Last step in sight",
    resetZoom: "Show all",
    mark: { checkpoint: "Checkpoint", best: "Best checkpoint", sample: "Samples" },
    marks: "Saved and sampled",
    table: "The curve as a table",
    help: "Drag across the curve to zoom, double-click to see all of it.",
    noneSelected: "Choose at least one series.",
  },

  checkpoints,

  runs: {
    title: "Runs",
    empty: "It has not been started yet.",
    number: (number: number) => `Run ${number}`,
    steps: (first: string, last: string) => `steps ${first} to ${last}`,
    fromStep: (first: string) => `from step ${first}`,
    exitCode: (code: number) => `exit code ${code}`,
    on: (device: string) => `on ${device === "cpu" ? "the CPU" : device}`,
    failures: {
      out_of_memory: "Out of memory",
      non_finite: "Numbers that are not finite",
      disk_full: "Disk full",
      gated_model: "Model not released to this account",
      offline: "Hub out of reach",
      bad_dataset: "Bad dataset",
      bad_model: "Bad model files",
      bad_checkpoint: "Bad checkpoint",
      bad_lora: "Bad LoRA",
      bad_job: "Job refused",
      encoding_failed: "Encoding failed",
      folder_in_use: "Folder in use",
      lost_process: "Process lost",
      crash: "Crash",
    } satisfies Record<FailureClass, string>,
    moves: "What happened to it",
    move: (from: string, to: string) => `${from} → ${to}`,
  },

  log: {
    title: "Log",
    follow: "Follow",
    run: "Run",
    empty: "Nothing has been written yet.",
    region: "Log lines",
    level: "Level",
    levels: {
      debug: "Everything",
      info: "Everything",
      warning: "Warnings and errors",
      error: "Errors",
    },
    search: "Search the log",
    searchShown: "Search the lines shown",
    found: (count: number, all: number) => `${count} of ${plural(all, "line", "lines")}`,
    foundShown: (count: number, all: number) =>
      `${count} of the ${plural(all, "line", "lines")} shown`,
    part: (lines: number, shown: string, whole: string) =>
      `The last ${plural(lines, "line is", "lines are")} shown: ${shown} of ${whole}.`,
    earlier: "Earlier lines",
    download: "Download",
    downloadLabel: "Download the whole log of the run",
    nothingFound: "No line is like that.",
  },

  failure: {
    title: "The training failed",
    interruptedTitle: "The training was interrupted",
    ofDrawing: {
      title: "The drawing failed",
      interruptedTitle: "The drawing was interrupted",
    },
    drawsMissing: "Queueing it again draws the pictures that are missing.",
    phase: "Phase",
    exitCode: "Exit code",
    code: "Cause",
    lastLines: "Last lines of the log",
    resumeFrom: (step: string) => `Queueing it again goes on from step ${step}.`,
    resumeFromStart: "Queueing it again starts from the beginning.",
  },

  warnings: {
    title: (count: number) => (count === 1 ? "One note on this job" : `${count} notes on this job`),
  },

  time: {
    now: "just now",
    ago: (duration: string) => `${duration} ago`,
    unknown: "–",
  },
};

export type Messages = typeof en;
