import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { problemsOf } from "@/api/errors";
import { text } from "@/messages";

/** Long enough to be reached by keyboard; what it undoes can be undone elsewhere later. */
const UNDO_MS = 15_000;
const TO_READ_MS = 30_000;

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
  const sentences = problemsOf(error).map((problem) => `${problem.message} ${problem.hint}`.trim());
  toastProblem(text.errors.actionFailed(action), sentences.join(" "));
}
