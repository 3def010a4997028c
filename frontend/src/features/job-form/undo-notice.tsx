import { Button } from "@mantine/core";
import { announce } from "@/components/ui/announcer";
import { Notice } from "@/components/ui/notice";
import { words } from "@/messages/job-form";
import type { Applied } from "./use-applied";

/** What was set together last, and the way back. */
export function UndoNotice({ last, onUndo }: { last: Applied | null; onUndo: () => void }) {
  if (last === null) {
    return null;
  }
  return (
    <Notice
      tone="good"
      role="status"
      action={
        <Button
          variant="default"
          size="xs"
          onClick={() => {
            onUndo();
            announce(words.aids.undone(last.label));
          }}
        >
          {words.aids.undo}
        </Button>
      }
    >
      {words.aids.applied(last.label, last.count)}
    </Notice>
  );
}
