/**
 * A file on its way to the server, with how much of it has gone. `fetch` does not tell that in any
 * browser that is in use today, and XMLHttpRequest does.
 */

import { ApiError, problemsOfBody, ServerAway } from "./errors";

export interface Upload<Answer> {
  answer: Promise<Answer>;
  /** Nothing is kept of what was sent; `answer` is refused with `UploadCancelled`. */
  cancel: () => void;
}

export class UploadCancelled extends Error {
  constructor() {
    super("The upload was cancelled.");
    this.name = "UploadCancelled";
  }
}

/** `onSent`: of the body, as a share from 0 to 1. */
export function upload<Answer>(
  address: string,
  body: Blob,
  onSent: (share: number) => void,
): Upload<Answer> {
  const request = new XMLHttpRequest();
  const answer = new Promise<Answer>((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) =>
      onSent(total > 0 ? loaded / total : 0),
    );
    request.addEventListener("load", () => {
      const said = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300) {
        resolve(said as Answer);
      } else {
        reject(new ApiError(request.status, problemsOfBody(request.status, said)));
      }
    });
    request.addEventListener("error", () => reject(new ServerAway()));
    request.addEventListener("abort", () => reject(new UploadCancelled()));
  });
  request.open("POST", address);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(body);
  return { answer, cancel: () => request.abort() };
}

function parsed(words: string): unknown {
  try {
    return JSON.parse(words);
  } catch {
    return undefined;
  }
}
