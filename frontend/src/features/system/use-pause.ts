import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { QueueState } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

/** Stands for every device. */
export const WHOLE_QUEUE = "all";

/** Let nothing start on a device, or start again. */
export function usePause() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ device, paused }: { device: string; paused: boolean }) =>
      paused ? api.pauseQueue(device) : api.resumeQueue(device),
    onSuccess: (queue, { device, paused }) => {
      client.setQueryData<QueueState>(keys.queue, queue);
      void client.invalidateQueries({ queryKey: keys.jobLists });
      if (device === WHOLE_QUEUE) {
        announce(paused ? text.pause.paused : text.pause.resumed);
      }
    },
    onError: (error, { paused }) =>
      toastFailure(paused ? text.pause.pause : text.pause.resume, error),
  });
}
