import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type RefObject, useRef } from "react";
import { queueQuery } from "@/api/queries";
import type { DrawingVerdict, Problem } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { formatDuration, formatGib } from "@/lib/format";
import type { Answer } from "@/lib/use-answer";
import { words } from "@/messages/drawings";
import { type Draft, numPictures, written } from "./draft";
import classes from "./draw-bar.module.css";
import { usePlaces, waitWords } from "./wait";

interface DrawBarProps {
  draft: Draft;
  answer: Answer<DrawingVerdict>;
  /** Those that no field of the form shows. */
  errors: Problem[];
  numErrors: number;
  isDrawing: boolean;
  onDraw: () => void;
}

/** What will be drawn, what it takes, when it starts, and what stands in the way. */
export function DrawBar({ draft, answer, errors, numErrors, isDrawing, onDraw }: DrawBarProps) {
  const count = numPictures(draft);
  const problems = useRef<HTMLDivElement>(null);
  const warnings = answer.data?.warnings ?? [];
  return (
    <div className={classes.bar}>
      <div ref={problems} tabIndex={-1} className={classes.problems}>
        {count > 0 && errors.length > 0 && (
          <Notice tone="bad" title={words.verdict.problems(errors.length)}>
            <ProblemList problems={errors} />
          </Notice>
        )}
        {count > 0 && numErrors === 0 && warnings.length > 0 && (
          <Notice tone="info" title={words.verdict.warnings(warnings.length)}>
            <ProblemList problems={warnings} />
          </Notice>
        )}
      </div>
      <div className={classes.line}>
        <div className={classes.facts}>
          {count === 0 ? words.verdict.nothing : <Facts draft={draft} answer={answer} />}
        </div>
        <Button
          type="submit"
          size="md"
          aria-keyshortcuts="Control+Enter"
          loading={isDrawing}
          disabled={count === 0}
          leftSection={<Icon name="try" size={18} />}
          onClick={(event) => {
            event.preventDefault();
            if (numErrors > 0 && answer.state === "there") {
              showProblems(problems);
            } else {
              onDraw();
            }
          }}
        >
          {words.form.draw}
        </Button>
      </div>
    </div>
  );
}

/** What the server has refused once it would refuse again: lead to it. */
function showProblems(problems: RefObject<HTMLElement | null>): void {
  const first =
    problems.current?.closest("form")?.querySelector<HTMLElement>("[data-bad=true] button") ??
    problems.current;
  first?.focus();
  first?.scrollIntoView({ block: "center" });
}

function Facts({ draft, answer }: Pick<DrawBarProps, "draft" | "answer">) {
  const places = usePlaces(null);
  const queue = useQuery(queueQuery).data;
  const numWaiting =
    (queue?.num_jobs.queued ?? 0) * Number(!draft.isFirst) + (queue?.num_drawings.queued ?? 0);
  const variants = Number(draft.withBase) + draft.loras.length * draft.strengths.length;
  const forecast = answer.data?.forecasts[0];
  return (
    <>
      <p className={classes.count}>
        <strong>{words.verdict.pictures(numPictures(draft))}</strong>{" "}
        <span>
          {words.verdict.product(written(draft.prompts).length, draft.numSeeds, variants)}
        </span>
      </p>
      {forecast !== undefined && (
        <p>
          {forecast.seconds !== null &&
            `${words.verdict.about(formatDuration(forecast.seconds), forecast.num_pictures_measured)} `}
          {forecast.vram_bytes > 0
            ? words.verdict.takes(words.verdict.vram, formatGib(forecast.vram_bytes))
            : words.verdict.takes(words.verdict.ram, formatGib(forecast.ram_bytes))}
        </p>
      )}
      {places !== null && <p>{waitWords(places, draft.gpu, numWaiting)}</p>}
      <p role="status" className={classes.state} data-state={stateOf(answer)}>
        {wordsOf(answer)}
      </p>
    </>
  );
}

function stateOf({ state, data }: Answer<DrawingVerdict>): string {
  return state === "there" ? (data?.valid === true ? "valid" : "invalid") : state;
}

function wordsOf(answer: Answer<DrawingVerdict>): string {
  switch (stateOf(answer)) {
    case "valid":
      return words.verdict.ready;
    case "invalid":
      return words.verdict.problems(answer.data?.errors.length ?? 1);
    case "asking":
      return words.verdict.checking;
    case "failed":
      return words.verdict.failed;
    default:
      return words.verdict.away;
  }
}
