import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { jobQuery } from "@/api/queries";
import type { DrawingEntry, Sample, WholeDrawing } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Notice } from "@/components/ui/notice";
import { Panel } from "@/components/ui/panel";
import { ProblemList } from "@/components/ui/problem-list";
import { StatusPill } from "@/components/ui/status-pill";
import type { Draft } from "@/features/drawings/draft";
import { DrawingHead } from "@/features/drawings/drawing-head";
import { AlarmList } from "@/features/jobs/alarm-list";
import { FailurePanel } from "@/features/jobs/failure-panel";
import { LogPanel } from "@/features/jobs/log-panel";
import { isMoving, useJobActions } from "@/features/jobs/use-job-actions";
import { DrawingPictures } from "@/features/samples/drawing-pictures";
import { isLostPicture } from "@/features/samples/gallery-model";
import { words } from "@/messages/drawings";

interface DrawingViewProps {
  drawing: WholeDrawing;
  onAgain: (drawing: WholeDrawing) => void;
  onRecipe: (prompt: Partial<Draft>) => void;
  onDelete: (drawing: DrawingEntry) => void;
}

/** One drawing: how far it is, why it failed, its pictures, its log. */
export function DrawingView({ drawing, onAgain, onRecipe, onDelete }: DrawingViewProps) {
  const actions = useJobActions();
  const alarming = new Set(drawing.alarms.map(({ code }) => code));
  // What a picture lacks stands in its own place.
  const notes = drawing.warnings.filter(({ code }) => !alarming.has(code) && !isLostPicture(code));
  return (
    <>
      {(drawing.status === "failed" || drawing.status === "interrupted") && (
        <Failure id={drawing.id} />
      )}
      <AlarmList job={drawing} />
      <Panel title={drawing.training_name} aside={<StatusPill status={drawing.status} />}>
        <DrawingHead
          drawing={drawing}
          isMoving={isMoving(actions, drawing)}
          onStop={() => actions.stop.mutate(drawing)}
          onDrawMissing={() => actions.queue.mutate(drawing)}
          onAgain={() => onAgain(drawing)}
          onDelete={() => onDelete(drawing)}
        />
        {notes.length > 0 && (
          <Notice tone="info">
            <ProblemList problems={notes} />
          </Notice>
        )}
        <DrawingPictures
          drawing={drawing}
          actions={(sample, close) => (
            <Button
              size="xs"
              variant="default"
              onClick={() => {
                onRecipe(recipeOf(sample));
                close();
              }}
            >
              {words.result.useRecipe}
            </Button>
          )}
        />
      </Panel>
      {drawing.runs.length > 0 && <Log key={drawing.id} drawing={drawing} />}
    </>
  );
}

/** Before the first drawing is chosen. */
export function NothingDrawn() {
  return (
    <Panel title={words.result.title}>
      <Empty icon="picture" title={words.result.emptyTitle}>
        {words.result.empty}
      </Empty>
    </Panel>
  );
}

/** A drawing fails as a job does. */
function Failure({ id }: { id: number }) {
  const job = useQuery(jobQuery(id)).data;
  return job === undefined ? null : <FailurePanel job={job} />;
}

function Log({ drawing }: { drawing: WholeDrawing }) {
  const [isOpen, setOpen] = useState(drawing.status === "failed");
  return isOpen ? (
    <LogPanel jobId={drawing.id} runs={drawing.runs.map(({ number }) => number)} />
  ) : (
    <div>
      <Button size="xs" variant="default" onClick={() => setOpen(true)}>
        {words.result.log}
      </Button>
    </div>
  );
}

function recipeOf(sample: Sample): Partial<Draft> {
  return {
    prompts: [sample.prompt],
    references: sample.control_images,
    seed: sample.seed,
    width: sample.width,
    height: sample.height,
    guidance: sample.guidance_scale,
    sampleSteps: sample.sample_steps,
  };
}
