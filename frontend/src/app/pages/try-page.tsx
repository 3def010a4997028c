import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, useRef } from "react";
import { useLocation } from "wouter";
import { ApiError } from "@/api/errors";
import { useTopics } from "@/api/live";
import { drawingQuery, jobSchemaQuery, keys, systemQuery } from "@/api/queries";
import type { DrawingEntry, WholeDrawing } from "@/api/types";
import { lazyPart } from "@/components/ui/lazy-part";
import { Notice } from "@/components/ui/notice";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { toast, toastWithUndo } from "@/components/ui/toast";
import wide from "@/components/ui/wide.module.css";
import { type Draft, draftOf, EMPTY_DRAFT } from "@/features/drawings/draft";
import { DrawingForm, type ModelFieldsProps } from "@/features/drawings/drawing-form";
import { DrawingList } from "@/features/drawings/drawing-list";
import { useArrival } from "@/features/drawings/use-arrival";
import { useDraft } from "@/features/drawings/use-draft";
import { useJobActions } from "@/features/jobs/use-job-actions";
import { WorkerBanner } from "@/features/system/worker-banner";
import { paths } from "@/lib/paths";
import { words } from "@/messages/drawings";
import { DrawingView, NothingDrawn } from "./drawing-view";
import classes from "./pages.module.css";

// Few people look at how the model is loaded, and it needs the form's parts.
const SomeSettings = lazyPart("some-settings", () => import("@/features/job-form/some-settings"));

const PANELS = ["model", "quantization"];

/** What to draw, beside what is being drawn, above what was drawn before. */
export default function TryPage({ drawingId }: { drawingId: number | null }) {
  useTopics("queue", "system", ...(drawingId === null ? [] : [`job:${drawingId}`]));
  const [, navigate] = useLocation();
  const client = useQueryClient();
  const actions = useJobActions();
  const system = useQuery(systemQuery).data;
  const { draft, change } = useDraft();
  const result = useRef<HTMLDivElement>(null);
  useArrival(change);

  const show = (drawing: WholeDrawing) => {
    client.setQueryData(keys.drawing(drawing.id), drawing);
    void client.invalidateQueries({ queryKey: keys.drawings });
    navigate(paths.drawing(drawing.id));
    toast(words.form.drawing(drawing.training_name));
    bringIntoSight(result.current);
  };
  const replace = (next: (draft: Draft) => Draft, said: string) => {
    const before = draft;
    change(next);
    toastWithUndo(said, () => change(() => before));
  };
  const remove = (drawing: DrawingEntry) =>
    actions.remove.mutate(
      { job: drawing, files: true },
      {
        onSuccess: () => {
          void client.invalidateQueries({ queryKey: keys.drawings });
          if (drawing.id === drawingId) {
            navigate(paths.drawings);
          }
        },
      },
    );

  return (
    <div className={classes.stack}>
      <PageHeader title={words.title} lead={words.lead} />
      {system !== undefined && <WorkerBanner system={system} />}
      <div className={wide.wide}>
        <div className={classes.bench}>
          <DrawingForm
            draft={draft}
            change={change}
            onStartOver={() => replace(() => EMPTY_DRAFT, words.form.startedOver)}
            onDrawn={show}
            renderModel={(props) => <ModelFields {...props} />}
          />
          <div ref={result} className={classes.stack}>
            {drawingId === null ? (
              <NothingDrawn />
            ) : (
              <Shown
                id={drawingId}
                onAgain={(drawing) =>
                  replace(
                    (before) => draftOf(drawing, before),
                    words.form.filledFrom(drawing.training_name),
                  )
                }
                onRecipe={(prompt) => change((before) => ({ ...before, ...prompt }))}
                onDelete={remove}
              />
            )}
            <DrawingList shown={drawingId} onDelete={remove} />
          </div>
        </div>
      </div>
    </div>
  );
}

/** Where the form stands above it, as on a phone, what is drawn would be out of sight. */
function bringIntoSight(element: HTMLElement | null): void {
  if (element !== null && element.getBoundingClientRect().top > window.innerHeight / 2) {
    element.scrollIntoView({ block: "start" });
  }
}

interface ShownProps {
  id: number;
  onAgain: (drawing: WholeDrawing) => void;
  onRecipe: (prompt: Partial<Draft>) => void;
  onDelete: (drawing: DrawingEntry) => void;
}

function Shown({ id, ...handlers }: ShownProps) {
  const drawing = useQuery(drawingQuery(id));
  if (
    drawing.data === undefined &&
    drawing.error instanceof ApiError &&
    (drawing.error.status === 404 || drawing.error.status === 422)
  ) {
    return <Notice tone="info">{words.result.gone}</Notice>;
  }
  return (
    <QueryView query={drawing} loading={420}>
      {(loaded) => <DrawingView key={loaded.id} drawing={loaded} {...handlers} />}
    </QueryView>
  );
}

function ModelFields({ values, problems, onChange }: ModelFieldsProps) {
  const schema = useQuery(jobSchemaQuery);
  const devices = useQuery(systemQuery).data?.devices ?? null;
  return (
    <QueryView query={schema} loading={160}>
      {(loaded) => (
        <Suspense fallback={null}>
          <SomeSettings
            schema={loaded}
            panels={PANELS}
            values={values}
            problems={problems}
            devices={devices}
            onChange={onChange}
          />
        </Suspense>
      )}
    </QueryView>
  );
}
