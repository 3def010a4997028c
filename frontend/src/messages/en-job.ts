/** What a job's page says besides its curves, pictures and files: where to go on from, advice. */

export const enJob = {
  resumeFrom: {
    open: "Go on from a step…",
    title: (name: string) => `Where ${name} goes on from`,
    lead: "What was trained beyond that step is set aside in the folder superseded, not deleted.",
    choice: "Step",
    newest: (step: string) => `Step ${step}, the newest`,
    step: (step: string) => `Step ${step}`,
    beginning: "The beginning",
    confirm: "Queue",
  },

  cures: {
    title: "What helps",
    show: "What helps",
    hide: "Hide",
    none: "No cure is known for this. Edit the job, or look at its log.",
    likely: "Likely cause",
    signal: "Signal",
    step: "Step",
    apply: "Do this and queue",
    applied: (name: string) => `${name} was changed and is in the queue.`,
    copied: (name: string) => `${name} was made from it and is in the queue.`,
    goesOn: (step: string) => `Goes on from step ${step}.`,
    begins: "Begins anew.",
    newJob: "It becomes a job of its own: the change does not fit what was trained.",
    places: { vram: "VRAM", ram: "RAM", disk: "Disk" } as Record<string, string>,
    effect: (place: string, before: string, after: string, available: string | null) =>
      `${place}: ${before} → ${after}${available === null ? "" : ` of ${available}`}`,
    fits: "fits",
    mayNotFit: "may still not fit",
  },

  advice: {
    title: "What the measurements say",
    changesNothing: (change: string, step: string) =>
      `With the trigger, the LoRA changes the base model's answer by ${change} after ${step} steps: hardly at all.`,
    changesNothingCure:
      "Raise the Learning Rate (1e-4 is usual) or the Linear Rank, and look whether the captions hold the trigger and leave it something to mean.",
    overwritesBase: (without: string, withTrigger: string) =>
      `Without the trigger it changes the answer by ${without}, with it by ${withTrigger}: it changes everything it draws.`,
    overwritesBaseCure:
      "Turn on Differential Output Preservation, lower the Learning Rate to 7.5e-5 with Linear Rank 16, or use an earlier checkpoint.",
    samplesHardlyMove: (most: string, step: string) =>
      `At step ${step}, no sample with the trigger differs from the base model's picture by more than ${most} a pixel (100 % is black to white): hardly at all.`,
    noSampleMoves: (most: string, step: string) =>
      `At step ${step}, no sample differs from the base model's picture by more than ${most} a pixel (100 % is black to white): hardly at all.`,
    deltaNorm: (norm: string, step: string) => `The LoRA's delta norm is ${norm} at step ${step}.`,
    samplesAllMove: (without: string, withTrigger: string, step: string) =>
      `At step ${step}, samples without the trigger differ from the base model's pictures by ${without} a pixel, those with it by ${withTrigger} (100 % is black to white): it changes everything it draws.`,
    rings: (ringing: number, all: number, step: string, times: string) =>
      `At step ${step}, ${ringing} of ${all} samples have at least ${times} times the fine contrast of the base model's and of the training pictures. Halos and doubled edges have it; look whether there are any.`,
    ringsCure: (scale: number) =>
      `If so, lower the Differential Guidance Scale to ${scale} and go on from an earlier checkpoint.`,
    ringsUnguidedCure:
      "If so, lower the Learning Rate to 5e-5 and go on from an earlier checkpoint.",
    pastItsBest: (best: string, bestStep: string, now: string) =>
      `Validation was lowest at step ${bestStep} (${best}) and is ${now} now: it learns these pictures by heart.`,
    pastItsBestCure: "Use the checkpoint nearest to that step, or lower Steps.",
  },
};
