import { useMutation, useQueryClient } from "@tanstack/react-query";
import { applySampleRemoved } from "@/api/apply-event";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { Sample, TrashEntry } from "@/api/types";
import { toast, toastFailures, toastWithUndo } from "@/components/ui/toast";
import { tryEach } from "@/lib/try-each";
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
    const tried = await tryEach(entries, ({ id }) => api.restore(id));
    const [back, not] = [tried.answers.length, tried.errors.length];
    if (not === 0) {
      toast(text.samples.restored(back));
    } else {
      toastFailures(text.undo.label, text.samples.restoredSome(back, not), tried);
    }
    lookAgain(pictures);
  };
  const { mutate } = useMutation({
    mutationFn: async (pictures: OwnedSample[]) => {
      const tried = await tryEach(pictures, ({ jobId, sample }) =>
        api.deleteSample(jobId, sample.id),
      );
      const failed = tried.errors.length;
      if (failed > 0) {
        const title = text.samples.notRemoved(failed, pictures.length);
        toastFailures(text.samples.remove, title, tried);
        lookAgain(pictures);
      }
      return tried.answers;
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
