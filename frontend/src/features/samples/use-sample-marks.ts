import { useMutation, useQueryClient } from "@tanstack/react-query";
import { applySample } from "@/api/apply-event";
import { api, type SampleMarks } from "@/api/client";
import { keys } from "@/api/queries";
import type { Sample } from "@/api/types";
import { toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";

/** Stars and notes: shown at once, taken back if the server refuses. */
export function useSampleMarks(): (jobId: number, sample: Sample, marks: SampleMarks) => void {
  const client = useQueryClient();
  const { mutate } = useMutation({
    mutationFn: ({ jobId, sample, marks }: { jobId: number; sample: Sample; marks: SampleMarks }) =>
      api.markSample(jobId, sample.id, marks),
    onMutate: ({ jobId, sample, marks }) => {
      // Of what is known now: a note may come from a picture that has changed since it was shown.
      const marked = (one: Sample) => ({
        ...one,
        is_starred: marks.starred ?? one.is_starred,
        note: marks.note ?? one.note,
      });
      client.setQueryData<Sample[]>(keys.samples(jobId), (known) =>
        known?.map((one) => (one.id === sample.id ? marked(one) : one)),
      );
    },
    onSuccess: (answer, { jobId }) => applySample(client, jobId, answer),
    onError: (error, { jobId }) => {
      toastFailure(text.samples.marking, error);
      void client.invalidateQueries({ queryKey: keys.samples(jobId) });
    },
  });
  return (jobId, sample, marks) => mutate({ jobId, sample, marks });
}
