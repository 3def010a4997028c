import { useMutation, useQueryClient } from "@tanstack/react-query";
import { applySampleRemoved } from "@/api/apply-event";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { Sample, TrashEntry } from "@/api/types";
import { toast, toastFailure, toastWithUndo } from "@/components/ui/toast";
import { text } from "@/messages";

/** A picture and the job that drew it. */
export interface OwnedSample {
  jobId: number;
  sample: Sample;
}

/** Pictures into the trash: gone from the page at once, and back at the press of a button. */
export function useSampleRemoval(): (pictures: OwnedSample[]) => void {
  const client = useQueryClient();
  const lookAgain = (pictures: OwnedSample[]) => {
    for (const jobId of new Set(pictures.map((one) => one.jobId))) {
      void client.invalidateQueries({ queryKey: keys.samples(jobId) });
    }
    void client.invalidateQueries({ queryKey: keys.trash });
  };
  const undo = async (entries: TrashEntry[], pictures: OwnedSample[]) => {
    try {
      for (const entry of entries) {
        await api.restore(entry.id);
      }
      toast(text.samples.restored(entries.length));
    } catch (error) {
      toastFailure(text.undo.label, error);
    }
    lookAgain(pictures);
  };
  const { mutate } = useMutation({
    mutationFn: async (pictures: OwnedSample[]) => {
      const entries: TrashEntry[] = [];
      try {
        for (const { jobId, sample } of pictures) {
          entries.push(await api.deleteSample(jobId, sample.id));
        }
      } catch (error) {
        // Those before it are in the trash all the same, and can be taken back.
        toastFailure(text.samples.remove, error);
        lookAgain(pictures);
      }
      return entries;
    },
    onMutate: (pictures) => {
      for (const { jobId, sample } of pictures) {
        applySampleRemoved(client, jobId, sample.id);
      }
    },
    onSuccess: (entries, pictures) => {
      if (entries.length > 0) {
        toastWithUndo(text.samples.removed(entries.length), () => void undo(entries, pictures));
      }
    },
  });
  return mutate;
}
