/** Where the pages are, for links from anywhere. */
export const paths = {
  queue: "/",
  newJob: "/jobs/new",
  exampleJob: "/jobs/new?from=example",
  cloneOf: (id: number) => `/jobs/new?from=${id}`,
  /** A clone that begins with what was typed into the form of the job, which this browser keeps. */
  cloneAsTyped: (id: number) => `/jobs/new?from=${id}&typed=1`,
  compare: (id: number) => `/jobs/${id}/compare`,
  gallery: (id: number, beside: number[] = []) =>
    `/jobs/${id}/gallery${beside.length === 0 ? "" : `?with=${beside.join()}`}`,
  galleryAt: (id: number, step: number) => `/jobs/${id}/gallery?step=${step}`,
  job: (id: number) => `/jobs/${id}`,
  editJob: (id: number) => `/jobs/${id}/edit`,
  /** The page Try it, with a drawing if one is shown. */
  drawings: "/try",
  drawing: (id: number) => `/try/${id}`,
  /** Try it with a checkpoint of a job, by its step; without one, with the job's end result. */
  tryIt: (id: number, step?: number) =>
    `/try?job=${id}${step === undefined ? "" : `&step=${step}`}`,
  system: "/system",
  trash: "/trash",
};
