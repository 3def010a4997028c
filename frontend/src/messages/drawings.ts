/** Sentences of the page Try it: what to draw, with which LoRAs, and what was drawn. */

const plural = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`;

/** Ink, chalk or oil. */
const either = (names: string[]) =>
  names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} or ${names[names.length - 1]}`;

export const words = {
  title: "Try it",
  lead: "Draw any prompt with a LoRA, at any strength, beside the base model. It waits in the queue for a free device and disturbs no training.",

  form: {
    title: "What to draw",
    filled: (label: string) => `The form is set for ${label}.`,
    filledFrom: (name: string) => `The form has what ${name} was drawn from.`,
    noSuchCheckpoint: "That checkpoint is not there any more. Choose another one.",
    otherStep: (label: string) =>
      `No LoRA was saved at the picture's step; this is the nearest: ${label}.`,
    more: "More settings",
    draw: "Draw",
    drawing: (name: string) => `${name} is in the queue.`,
    failed: "Queueing the drawing",
    startOver: "Start over",
    startedOver: "The form is empty.",
  },

  loras: {
    title: "LoRAs",
    none: "None yet: choose a checkpoint, drop a file here, or name one on the hub.",
    choose: "Choose",
    upload: "Upload a file",
    hub: "From the hub",
    remove: (label: string) => `Take ${label} away`,
    hubLabel: "File on the Hugging Face hub",
    hubHelp: "owner/name/file.safetensors, with @revision behind the name if need be.",
    hubPlaceholder: "someone/ink-style/ink.safetensors",
    hubAdd: "Add",
    drop: "Drop the LoRA files here",
    withBase: "The base model beside them",
    withBaseAlone: "The base model",
    otherBase: (fits: string[], model: string) =>
      `It is for ${either(fits)}, and the pictures are drawn with ${model}.`,
  },

  uploads: {
    progress: (name: string) => `Uploading ${name}`,
    cancel: (name: string) => `Cancel uploading ${name}`,
    checking: "The server reads it.",
    refused: (name: string) => `${name} was refused`,
    close: (name: string) => `Close the message on ${name}`,
    again: "Try again",
    keepBoth: (name: string) => `Upload it as ${name}`,
    done: (label: string) => `${label} was uploaded.`,
  },

  chooser: {
    title: "Choose LoRAs",
    search: "Search by the training's or the file's name",
    all: "All",
    allOf: (name: string) => `Choose all of ${name}`,
    files: "Files",
    final: "Final",
    step: (step: string) => `Step ${step}`,
    none: "No LoRA is called like that.",
    noneAtAll:
      "No training has saved a LoRA yet, and no file lies in the folder loras of the models folder.",
    more: "Show more",
    done: "Done",
    delete: (label: string) => `Delete the upload ${label}`,
    deleteTitle: (label: string) => `Delete the upload ${label} for good?`,
    deleteBody: "Pictures that were drawn with it stay. It cannot be drawn with again.",
    deleteConfirm: "Delete upload",
    deleting: "Deleting the upload",
    deleted: (label: string) => `${label} was deleted.`,
    chosen: (count: number) => `${plural(count, "LoRA", "LoRAs")} chosen`,
  },

  strengths: {
    title: "Strengths",
    help: "1 is the LoRA as it was trained, 0 the base model; each LoRA is drawn at each.",
    other: "Another strength",
    add: "Add",
    outside: (lowest: number, highest: number) => `A number from ${lowest} to ${highest}.`,
  },

  prompts: {
    title: "Prompts",
    one: (number: number) => `Prompt ${number}`,
    placeholder: "What to draw",
    trigger: (word: string) => `[trigger] is drawn as ${word}.`,
    add: "Add a prompt",
    remove: (number: number) => `Remove prompt ${number}`,
  },

  references: {
    title: "Reference images",
    help: "Pictures that every prompt is shown, for a LoRA that edits or combines; at most 10.",
    upload: "Upload pictures",
    name: "A picture's name within the datasets folder",
    placeholder: "my-edits/sources/1.png",
    add: "Add",
    remove: (name: string) => `Take the reference ${name} away`,
    refused: (name: string) => `${name} was refused`,
    failed: "Uploading the picture",
  },

  settings: {
    seed: "Seed",
    seeds: "Seeds in a row",
    width: "Width",
    height: "Height",
    guidance: "Guidance",
    steps: "Steps",
    own: "model's own",
    trigger: "Trigger word",
    negative: "Negative prompt",
    gpu: "GPU",
    first: "Before trainings that wait",
    model: "Model and how it is loaded",
  },

  verdict: {
    nothing: "Choose a LoRA and its strength, or the base model, and write a prompt.",
    pictures: (count: number) => plural(count, "picture", "pictures"),
    product: (prompts: number, seeds: number, variants: number) =>
      [
        plural(prompts, "prompt", "prompts"),
        ...(seeds > 1 ? [plural(seeds, "seed", "seeds")] : []),
        plural(variants, "variant", "variants"),
      ].join(" × "),
    about: (duration: string, drawn: number) =>
      `About ${duration}, as ${plural(drawn, "like picture", "like pictures")} took.`,
    takes: (place: string, size: string) => `Takes ${size} of ${place}.`,
    vram: "VRAM",
    ram: "memory",
    checking: "Checking…",
    away: "Not checked: the server is not answering.",
    failed: "Not checked: the server could not work it out. It is asked again.",
    ready: "Ready to draw",
    problems: (count: number) =>
      count === 1 ? "One thing stands in the way" : `${count} things stand in the way`,
    warnings: (count: number) => (count === 1 ? "Worth knowing" : `${count} notes worth knowing`),
  },

  wait: {
    starts: "Starts now.",
    starting: "Starts now",
    away: "Waits until the worker is back.",
    paused: "Waits: the queue is paused.",
    device: (jobs: string[]) => `Waits until ${either(jobs)} ends.`,
    largerDevice: (small: string[]) =>
      small.length === 0
        ? "Waits for a larger GPU."
        : `Waits for a larger GPU than ${either(small)}, whose memory it does not fit.`,
    on: (name: string, device: string) => `${name} on ${device}`,
    behind: (count: number) => `Behind ${plural(count, "job", "jobs")} in the queue.`,
    cpu: "the CPU",
  },

  result: {
    progress: (name: string) => `Pictures of ${name}`,
    count: (done: number, total: number) => `${done} of ${plural(total, "picture", "pictures")}`,
    failedCount: (count: number) => `${plural(count, "picture", "pictures")} failed`,
    drawing: "Drawing",
    stop: "Stop",
    unqueue: "Take out of the queue",
    missing: "Draw what is missing",
    again: "Change and draw again",
    delete: "Delete",
    useRecipe: "Use in the form",
    title: "The pictures",
    gone: "This drawing is not there any more. Deleted drawings lie in the trash for a while.",
    log: "Show the log",
    emptyTitle: "Nothing drawn yet",
    empty: "What you draw appears here, picture by picture.",
  },

  list: {
    title: "Earlier drawings",
    emptyTitle: "No drawings yet",
    empty: "Every drawing is kept here until you delete it.",
    open: (name: string) => `Open ${name}`,
    delete: (name: string) => `Delete ${name}`,
    more: "Show more",
    base: "base model",
    andMore: (count: number) => `and ${count} more`,
  },
};
