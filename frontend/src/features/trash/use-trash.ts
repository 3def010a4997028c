import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { TrashEntry } from "@/api/types";
import { toast, toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

/** What can be done to things in the trash. */
export function useTrash() {
  const client = useQueryClient();
  const lookAgain = () => void client.invalidateQueries({ queryKey: keys.trash });
  const without = (entry: TrashEntry) =>
    client.setQueryData<TrashEntry[]>(keys.trash, (entries) =>
      entries?.filter(({ id }) => id !== entry.id),
    );

  const restore = useMutation({
    mutationFn: (entry: TrashEntry) => api.restore(entry.id),
    onSuccess: ({ job_id }, entry) => {
      without(entry);
      void client.invalidateQueries({ queryKey: keys.jobs });
      void client.invalidateQueries({ queryKey: keys.job(job_id) });
      toast(text.trash.restored(entry.training_name || text.job.unnamed));
    },
    onError: (error) => toastFailure(text.trash.restore, error),
    onSettled: lookAgain,
  });

  const purge = useMutation({
    mutationFn: (entry: TrashEntry) => api.purge(entry.id),
    onSuccess: (_, entry) => {
      without(entry);
      toast(text.trash.purged(entry.training_name || text.job.unnamed));
    },
    onError: (error) => toastFailure(text.trash.purge, error),
    onSettled: lookAgain,
  });

  const empty = useMutation({
    mutationFn: () => api.emptyTrash(),
    onSuccess: () => toast(text.trash.emptied),
    onError: (error) => toastFailure(text.trash.empty, error),
    onSettled: lookAgain,
  });

  return { restore, purge, empty };
}
