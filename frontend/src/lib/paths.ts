/** Where the pages are, for links from anywhere. */
export const paths = {
  queue: "/",
  newJob: "/jobs/new",
  exampleJob: "/jobs/new?from=example",
  cloneOf: (id: number) => `/jobs/new?from=${id}`,
  compare: (id: number) => `/jobs/${id}/compare`,
  gallery: (id: number, beside: number[] = []) =>
    `/jobs/${id}/gallery${beside.length === 0 ? "" : `?with=${beside.join()}`}`,
  galleryAt: (id: number, step: number) => `/jobs/${id}/gallery?step=${step}`,
  job: (id: number) => `/jobs/${id}`,
  editJob: (id: number) => `/jobs/${id}/edit`,
  system: "/system",
  trash: "/trash",
};
