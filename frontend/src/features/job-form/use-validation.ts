import { useEffect, useRef, useState } from "react";
import { api } from "@/api/client";
import { problemsOf } from "@/api/errors";
import type { JobConfigValue } from "@/api/types";
import { RETRY_MS, stateAfter } from "@/lib/use-answer";
import { type FieldProblem, problemsOfValidation } from "./field-problems";

const PAUSE_MS = 300;

export interface ValidationState {
  /**
   * `checking` until the present config has an answer. After `away` (nobody answered) and `failed`
   * (the server could not work it out) the same is asked again by itself.
   */
  state: "checking" | "valid" | "invalid" | "away" | "failed";
  problems: FieldProblem[];
}

/**
 * What saving and queueing would say of this config, for the job that it is to belong to (null: a new
 * one), and advice by what it is to learn (`kind`), asked when typing pauses; of a null config
 * nothing is asked. Only the answer to the latest question counts; the one before it is cancelled.
 * Until it comes the last problems stay in sight.
 */
export function useValidation(
  config: JobConfigValue | null,
  kind: string | null = null,
  jobId: number | null = null,
): ValidationState {
  const [known, setKnown] = useState<ValidationState>({ state: "checking", problems: [] });
  const asked = useRef(0);

  useEffect(() => {
    asked.current += 1;
    if (config === null) {
      setKnown({ state: "valid", problems: [] });
      return undefined;
    }
    const question = asked.current;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    setKnown((before) => ({ ...before, state: "checking" }));
    const ask = async () => {
      try {
        const answer = await api.validate(config, kind, jobId, abort.signal);
        if (question === asked.current) {
          setKnown({
            state: answer.valid ? "valid" : "invalid",
            problems: problemsOfValidation(answer),
          });
        }
      } catch (error) {
        if (question !== asked.current || abort.signal.aborted) {
          return;
        }
        const state = stateAfter(error);
        if (state === "refused") {
          // As of a job that was deleted meanwhile: asking again would not bring it back.
          const problems = problemsOf(error).map((one) => ({ ...one, severity: "error" as const }));
          setKnown({ state: "invalid", problems });
        } else {
          setKnown((before) => ({ ...before, state }));
          timer = setTimeout(() => void ask(), RETRY_MS);
        }
      }
    };
    timer = setTimeout(() => void ask(), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [config, kind, jobId]);

  return known;
}
