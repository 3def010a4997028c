/** Sentences of the job form's aids: presets, memory plan, dataset contents, import, views. */

const plural = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`;

export const words = {
  aids: {
    applied: (label: string, count: number) =>
      `${label}: ${plural(count, "setting changed", "settings changed")}.`,
    undo: "Undo",
    undone: (label: string) => `${label} was undone.`,
  },

  newer: {
    title: "This job was changed elsewhere",
    lead: "Nothing was saved here yet. Yours stay within reach: Undo brings them back.",
    table: "What is typed here, and what the job has now",
    load: "Load the newer values",
    save: "Save mine in their place",
    label: "The newer values",
  },

  meanwhile: {
    kept: "What you typed after that is not in this run. It is kept, and found again where this job is edited.",
  },

  clone: {
    withThese: "Clone with these values",
    notKept: "This browser keeps nothing, so that the values cannot be taken along. Use Clone.",
  },

  presets: {
    title: "Start from a preset",
    failed: "The server could not work out what is advised. It is asked again.",
    lead: "Sets what the guides advise for the kind of LoRA and the card. Names, datasets, prompts and trigger stay as they are.",
    kinds: "Kind of LoRA",
    card: "Card",
    cardFound: "the one found here",
    cardAsIf: (gb: number) => `as if ${gb} GB`,
    images: (low: number, high: number) => `${low}–${high} pictures`,
    triples: (low: number, high: number) => `${low}–${high} triples`,
    steps: (low: number, high: number) => `${low}–${high} steps`,
    ranks: (low: number, high: number) => `rank ${low}–${high}`,
    wouldChange: (label: string) => `What ${label} would change`,
    nothing: (label: string) => `The form has the values of ${label} already.`,
    apply: (count: number) => `Apply to ${plural(count, "setting", "settings")}`,
    applyOne: (label: string) => `Apply: ${label}`,
    setting: "Setting",
    now: "Now",
    afterwards: "Then",
    offers: "Better suited to this card",
    variants: "When it does not go well",
    variantsLead: "Deviations that the guides advise, for this job's next run.",
    inPlace: "already so",
    inPlaceLabel: (label: string) => `already so: ${label}`,
    needsTrigger:
      "Differential Output Preservation needs a Trigger Word, and captions that contain it.",
    choose: "Choose what the LoRA is to learn to see what would change.",
    only: "This model has one preset, whatever is learned.",
  },

  importing: {
    open: "Import a job file",
    title: "Import a job file",
    lead: "A job of Darkroom or of AI Toolkit, as YAML or JSON. It fills the form and creates nothing.",
    file: "Choose a file",
    noFile: "A .yaml or .json file",
    text: "Or paste its text",
    read: "Read it",
    away: "The server is not answering.",
    sources: { darkroom: "A job of Darkroom.", ai_toolkit: "A job of AI Toolkit." },
    matters: (count: number) =>
      count === 0
        ? "Nothing that matters was left out."
        : `Left out, and it matters: ${plural(count, "value", "values")}`,
    harmless: (count: number) =>
      `Left out, and it makes no difference: ${plural(count, "value", "values")}`,
    carried: (count: number) => `Carried over: ${plural(count, "value", "values")}`,
    theirs: "In the file",
    ours: "Here",
    value: "Value",
    reason: "Why",
    use: "Put it into the form",
    cancel: "Cancel",
    label: (name: string) => `Import of ${name}`,
    pasted: "the pasted text",
  },

  views: {
    settings: "Settings shown",
    plain: "Plain",
    complete: "All settings",
    more: (count: number) => (count === 1 ? "One more setting" : `${count} more settings`),
    guides: (said: string) => `Guides: ${said}`,
    advice: (count: number) => (count === 1 ? "One piece of advice" : `${count} pieces of advice`),
  },

  plan: {
    title: "Memory plan",
    device: "Card to plan for",
    here: (name: string, gb: string) => `${name} (${gb})`,
    asIf: (gb: number) => `as if ${gb} GB`,
    cardOf: (gb: number) => `a card of ${gb} GB`,
    noDevice: "No worker has said what this machine has. Choose a card to plan for.",
    checking: "Working it out…",
    waiting: "The plan follows as soon as every setting has a value that can be read.",
    away: "Not planned: the server is not answering.",
    failed: "Not planned: the server could not work it out. It is asked again.",
    fits: (where: string) => `Fits ${where}`,
    doesNotFit: (where: string) => `Does not fit ${where}`,
    fitsButTheDisk: (where: string) => `Fits ${where}, not the disk`,
    ofCard: (used: string, total: string) => `${used} of ${total}`,
    vram: "VRAM",
    ram: "RAM",
    disk: "Disk",
    phaseFigures: (vram: string, ram: string) => `${vram} · RAM ${ram}`,
    ramOnly: (ram: string) => `${ram} RAM`,
    parts: (phase: string) => `${phase}: what it is made of`,
    part: "Part",
    place: "Where",
    size: "Size",
    legend: "Colours",
    groups: {
      weights: "weights",
      state: "LoRA, gradients, optimizer",
      passing: "activations",
      other: "programs and the rest",
    },
    against: (place: string, total: string) => ` (there are ${total} of ${place})`,
    changes: "The smallest changes that fit",
    noChange:
      "No change of settings makes it fit: take a smaller model or a larger card, or export the job as a bundle.",
    diskChanges: "The smallest changes that fit the disk",
    noDiskChange:
      "No change of settings makes room enough: free space on that disk, or move the folder to another one.",
    change: (label: string) => `${label.charAt(0).toUpperCase()}${label.slice(1)}`,
    after: (vram: string, ram: string) => `then ${vram} VRAM, ${ram} RAM`,
    afterRam: (ram: string) => `then ${ram} RAM`,
    apply: "Apply",
    applyLabel: (label: string) => `Apply: ${label}`,
    offload: (transformer: number, encoder: number) =>
      `Auto streams ${transformer} % of the transformer and ${encoder} % of the text encoder.`,
    time: (total: string) => `About ${total}`,
    timeFrom: (step: string, jobs: number) =>
      `${step} a step, measured on ${plural(jobs, "job", "jobs")} like this here.`,
    timeWithoutSamples: "Samples come on top: none of this size was drawn here yet.",
    timeUnknown: "Time: unknown until a job like this has run here.",
    timeAsIf: "Time: unknown for a card that is not here.",
  },

  contents: {
    title: (name: string) => `What ${name} holds`,
    pictures: (count: number, captioned: number) =>
      `${plural(count, "picture", "pictures")}, ${captioned === count ? "all with captions" : `${captioned} with captions of their own`}`,
    noCaption: "no caption",
    more: (count: number) => `Show ${plural(count, "more picture", "more pictures")}`,
    buckets: "Sizes they train at",
    size: "Size",
    numPictures: "Pictures",
    turns: "Turns",
    batches: "Batches",
    turnsHelp: "Turns: pictures times Num Repeats, in one epoch. Batches: of up to Batch Size.",
    ownSize: "own size",
    shared: "shared",
    sharedHelp: "Shared batches hold pictures of other datasets too, and count there as well.",
    epoch: (batches: number, steps: string) =>
      `One epoch: ${plural(batches, "batch", "batches")}, ${steps} steps`,
    epochs: (epochs: string) => `Steps make ${epochs} epochs.`,
    heldOut: (percent: number) =>
      `About ${percent} % of these are held out for validation and do not train.`,
    problems: "What is wrong with it",
    waiting: "Shown as soon as every setting has a value that can be read.",
    away: "Not shown: the server is not answering.",
    failed: "Not shown: the server could not work it out. It is asked again.",
    checking: "Looking…",
    alt: (name: string, caption: string) => `${name}: ${caption}`,
  },
};
