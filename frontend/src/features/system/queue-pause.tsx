import { Button } from "@mantine/core";
import type { QueueState } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { text } from "@/messages";
import { usePause, WHOLE_QUEUE } from "./use-pause";

/** Lets nothing more start. Its other half is in the notice that stands there meanwhile. */
export function PauseButton({ queue }: { queue: QueueState }) {
  const { mutate, isPending } = usePause();
  if (queue.paused.includes(WHOLE_QUEUE)) {
    return null;
  }
  return (
    <Button
      variant="default"
      loading={isPending}
      leftSection={<Icon name="pause" size={15} />}
      onClick={() => mutate({ device: WHOLE_QUEUE, paused: true })}
    >
      {text.pause.pause}
    </Button>
  );
}

export function PausedNotice({ queue }: { queue: QueueState }) {
  const { mutate, isPending } = usePause();
  if (!queue.paused.includes(WHOLE_QUEUE)) {
    return null;
  }
  return (
    <Notice
      tone="warn"
      title={text.pause.title}
      action={
        <Button
          size="xs"
          loading={isPending}
          leftSection={<Icon name="play" size={15} />}
          onClick={() => mutate({ device: WHOLE_QUEUE, paused: false })}
        >
          {text.pause.resume}
        </Button>
      }
    >
      {text.pause.body}
    </Notice>
  );
}
