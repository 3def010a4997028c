import { notifications } from "@mantine/notifications";
import { problemsOf } from "@/api/errors";
import { text } from "@/messages";

export function toast(message: string): void {
  notifications.show({ message, withBorder: true });
}

/** An action failed: what the server said, for as long as it takes to read it. */
export function toastFailure(action: string, error: unknown): void {
  const sentences = problemsOf(error).map((problem) => `${problem.message} ${problem.hint}`.trim());
  notifications.show({
    title: text.errors.actionFailed(action),
    message: sentences.join(" "),
    color: "red",
    withBorder: true,
    autoClose: 10_000,
  });
}
