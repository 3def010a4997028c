import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";

/** As long as it takes to notice a mistake. */
const UNDO_MS = 12_000;

/** Something is done and can be taken back. */
export function toastWithUndo(message: string, label: string, undo: () => void): void {
  const takeBack = () => {
    notifications.hide(id);
    undo();
  };
  const id = notifications.show({
    message: (
      <Group justify="space-between" wrap="nowrap" gap="sm">
        {message}
        <Button size="xs" variant="default" onClick={takeBack}>
          {label}
        </Button>
      </Group>
    ),
    withBorder: true,
    autoClose: UNDO_MS,
  });
}
