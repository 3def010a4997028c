import { text } from "@/messages";
import type { Problem } from "./types";

/** The server answered and refused; `problems` says why, in its own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problems: Problem[],
  ) {
    super(problems.map((problem) => problem.message).join(" ") || text.errors.unknown(status));
    this.name = "ApiError";
  }
}

/** Nobody answered: the server is away, or the network between is. */
export class ServerAway extends Error {
  constructor() {
    super(text.errors.serverAway);
    this.name = "ServerAway";
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && "message" in value;
}

/** The problems of an error body; one made from the status when the body is not ours. */
export function problemsOfBody(status: number, body: unknown): Problem[] {
  const errors =
    typeof body === "object" && body !== null ? (body as { errors?: unknown }).errors : undefined;
  if (Array.isArray(errors) && errors.length > 0 && errors.every(isProblem)) {
    return errors;
  }
  return [
    {
      code: `http_${status}`,
      message: text.errors.unknown(status),
      hint: "",
      field: null,
      params: {},
      severity: "error",
    },
  ];
}

/** What to tell a person about anything that was thrown. */
export function problemsOf(error: unknown): Problem[] {
  if (error instanceof ApiError) {
    return error.problems;
  }
  const message = error instanceof Error ? error.message : String(error);
  return [{ code: "page", message, hint: "", field: null, params: {}, severity: "error" }];
}
