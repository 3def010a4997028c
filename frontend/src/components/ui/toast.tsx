import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { problemsOf } from "@/api/errors";
import type { Tried } from "@/lib/try-each";
import { text } from "@/messages";

/** Long enough to be reached by keyboard; what it undoes can be undone elsewhere later. */
const UNDO_MS = 15_000;
const TO_READ_MS = 30_000;
/** More than these are no easier to understand. */
const SHOWN_REASONS = 3;

export function toast(message: string): void {
  notifications.show({ message, withBorder: true });
}

/** More than a glance takes in. */
export function toastToRead(message: string): void {
  notifications.show({ message, withBorder: true, autoClose: TO_READ_MS });
}

/** Something was done that can be undone. */
export function toastWithUndo(message: string, undo: () => void): void {
  const id = notifications.show({
    message: (
      <span style={{ display: "flex", alignItems: "center", gap: 12 }}>
        <span style={{ flex: 1, overflowWrap: "anywhere" }}>{message}</span>
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => {
            notifications.hide(id);
            undo();
          }}
        >
          {text.undo.label}
        </Button>
      </span>
    ),
    withBorder: true,
    autoClose: UNDO_MS,
  });
}

/** Something went wrong, in words of the page. */
export function toastProblem(title: string, message: string): void {
  notifications.show({ title, message, color: "red", withBorder: true, autoClose: 10_000 });
}

/** An action failed: what the server said, for as long as it takes to read it. */
export function toastFailure(action: string, error: unknown): void {
  toastProblem(text.errors.actionFailed(action), reasonsOf([error]));
}

/** An action failed for some of several things, of which `title` tells, or for all of them. */
export function toastFailures(action: string, title: string, { answers, errors }: Tried): void {
  const said = answers.length === 0 ? text.errors.actionFailed(action) : title;
  toastProblem(said, reasonsOf(errors));
}

/** What the server said, each sentence once. */
function reasonsOf(errors: unknown[]): string {
  const sentences = errors
    .flatMap(problemsOf)
    .map((problem) => `${problem.message} ${problem.hint}`.trim());
  return [...new Set(sentences)].slice(0, SHOWN_REASONS).join(" ");
}
