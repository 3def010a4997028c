import { useQueryClient } from "@tanstack/react-query";
import { jobQuery } from "@/api/queries";
import type { Job } from "@/api/types";
import { asInJob, type ChosenLora, type Draft, withLora, written } from "./draft";

/**
 * Adds a LoRA to what is drawn. The first one brings the model, the sizes and, where nothing is
 * written yet, the prompts of the job that made it, so that the base cannot be a wrong one.
 */
export function useAddLora(change: (next: (draft: Draft) => Draft) => void) {
  const client = useQueryClient();
  return async (lora: ChosenLora) => {
    const job = lora.jobId === null ? null : await knownJob(lora.jobId);
    change((draft) => {
      if (draft.loras.length > 0 || job === null) {
        return withLora(draft, lora);
      }
      const prompts = written(draft.prompts).length === 0;
      return withLora(asInJob(draft, job, { prompts }), lora);
    });
  };

  /** Null where it went away: the LoRA's own header still says which model it is for. */
  async function knownJob(id: number): Promise<Job | null> {
    return client.fetchQuery(jobQuery(id)).catch(() => null);
  }
}
