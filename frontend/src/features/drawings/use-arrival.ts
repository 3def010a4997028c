import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useLocation, useSearchParams } from "wouter";
import { api } from "@/api/client";
import { jobQuery } from "@/api/queries";
import type { Lora } from "@/api/types";
import { toast, toastFailure, toastWithUndo } from "@/components/ui/toast";
import { promptGiven } from "@/lib/form-link";
import { words } from "@/messages/drawings";
import { asInJob, chosenLora, type Draft, withLora, written } from "./draft";

/** More checkpoints than a job keeps. */
const MOST_CHECKPOINTS = 500;

/**
 * Who comes from a checkpoint or a picture brings it along in the address; it goes into the draft
 * once, and out of the address, so that a reload shows what was made of it since.
 */
export function useArrival(change: (next: (draft: Draft) => Draft) => void): void {
  const client = useQueryClient();
  const [search] = useSearchParams();
  const [address, navigate] = useLocation();
  const taken = useRef("");
  const given = String(search);
  useEffect(() => {
    const jobId = Number(search.get("job"));
    if (!Number.isInteger(jobId) || jobId < 1 || taken.current === given) {
      return;
    }
    taken.current = given;
    const bring = async () => {
      try {
        const step = search.get("step");
        const { lora, next } = await broughtBy(client, jobId, step, search);
        if (lora === null) {
          toast(words.form.noSuchCheckpoint);
        } else {
          fill(lora, next, step !== null && lora.step !== Number(step));
        }
      } catch (error) {
        toastFailure(words.title, error);
      }
      navigate(address, { replace: true });
    };
    const fill = (lora: Lora, next: (draft: Draft) => Draft, isOther: boolean) => {
      let before: Draft | null = null;
      change((draft) => {
        before = draft;
        return next(draft);
      });
      const said = isOther ? words.form.otherStep(lora.label) : words.form.filled(lora.label);
      toastWithUndo(said, () => change((draft) => before ?? draft));
    };
    void bring();
  }, [client, search, given, address, navigate, change]);
}

interface Brought {
  lora: Lora | null;
  next: (draft: Draft) => Draft;
}

async function broughtBy(
  client: QueryClient,
  jobId: number,
  step: string | null,
  search: URLSearchParams,
): Promise<Brought> {
  const [job, { items }] = await Promise.all([
    client.fetchQuery(jobQuery(jobId)),
    api.loras({ job_id: jobId, limit: MOST_CHECKPOINTS }),
  ]);
  const lora = step === null ? finalOf(items) : nearestTo(items, Number(step));
  const prompt = promptGiven(search);
  const next = (draft: Draft): Draft => {
    if (lora === null) {
      return draft;
    }
    const isOfOtherJob = draft.loras.every((one) => one.jobId !== jobId);
    const prompts = isOfOtherJob || written(draft.prompts).length === 0;
    // Of the same job one goes on with what one has typed, with another of its files.
    const kept = isOfOtherJob ? asInJob(draft, job, { prompts }) : draft;
    const filled = withLora({ ...kept, loras: [] }, chosenLora(lora));
    return prompt === null ? filled : { ...filled, ...prompt };
  };
  return { lora, next };
}

function finalOf(loras: Lora[]): Lora | null {
  const newest = [...loras].sort((one, other) => (other.step ?? 0) - (one.step ?? 0));
  return newest.find(({ is_final }) => is_final) ?? newest[0] ?? null;
}

/** The same step, or the nearest; of the last step's two files the checkpoint. */
function nearestTo(loras: Lora[], step: number): Lora | null {
  const distance = ({ step: own, is_final }: Lora) =>
    Math.abs((own ?? 0) - step) + (is_final ? 0.5 : 0);
  return [...loras].sort((one, other) => distance(one) - distance(other))[0] ?? null;
}
