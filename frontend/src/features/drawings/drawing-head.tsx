import { Button } from "@mantine/core";
import type { WholeDrawing } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { ProgressBar } from "@/components/ui/progress-bar";
import { formatMoment, joinFacts } from "@/lib/format";
import { ACTIVE, QUEUEABLE, STOPPABLE } from "@/lib/job-states";
import { text } from "@/messages";
import { words } from "@/messages/drawings";
import classes from "./drawing-head.module.css";
import { usePlaces, waitWordsOf } from "./wait";

interface DrawingHeadProps {
  drawing: WholeDrawing;
  /** It is being queued or stopped just now. */
  isMoving: boolean;
  onStop: () => void;
  onDrawMissing: () => void;
  onAgain: () => void;
  onDelete: () => void;
}

/** With what it is drawn, how far it is, and what can be done. */
export function DrawingHead(props: DrawingHeadProps) {
  const { drawing, isMoving } = props;
  const isOver = QUEUEABLE.has(drawing.status);
  const isMissing = drawing.pictures.some(({ state }) => state !== "drawn");
  return (
    <div className={classes.head}>
      <Progress drawing={drawing} />
      <div className={classes.actions}>
        {STOPPABLE.has(drawing.status) && (
          <Button
            size="xs"
            variant="default"
            loading={isMoving}
            disabled={drawing.status === "stopping"}
            leftSection={<Icon name={drawing.status === "queued" ? "close" : "stop"} size={15} />}
            onClick={props.onStop}
          >
            {drawing.status === "queued" ? words.result.unqueue : words.result.stop}
          </Button>
        )}
        {isOver && isMissing && (
          <Button
            size="xs"
            variant="default"
            loading={isMoving}
            leftSection={<Icon name="play" size={15} />}
            onClick={props.onDrawMissing}
          >
            {words.result.missing}
          </Button>
        )}
        <Button
          size="xs"
          variant="default"
          leftSection={<Icon name="edit" size={15} />}
          onClick={props.onAgain}
        >
          {words.result.again}
        </Button>
        <Button
          size="xs"
          variant="default"
          leftSection={<Icon name="trash" size={15} />}
          onClick={props.onDelete}
        >
          {words.result.delete}
        </Button>
      </div>
    </div>
  );
}

function Progress({ drawing }: { drawing: WholeDrawing }) {
  const { pictures, status, training_name, loras } = drawing;
  const drawn = pictures.filter(({ state }) => state === "drawn").length;
  const failed = pictures.filter(({ state }) => state === "failed").length;
  const isActive = ACTIVE.has(status);
  const facts = [
    words.result.count(drawn, pictures.length),
    ...(failed > 0 ? [words.result.failedCount(failed)] : []),
    ...(isActive ? [phaseOf(drawing)] : []),
    ...(drawing.finished_at === null || isActive ? [] : [formatMoment(drawing.finished_at)]),
  ];
  return (
    <div className={classes.progress}>
      {loras.length > 0 && (
        <p className={classes.loras}>{loras.map(({ label }) => label).join(" · ")}</p>
      )}
      {status !== "completed" && (
        <ProgressBar
          label={words.result.progress(training_name)}
          done={drawn}
          total={pictures.length}
          active={isActive}
        />
      )}
      <p className={classes.facts}>{joinFacts(facts)}</p>
      {status === "queued" && <WaitLine drawing={drawing} />}
    </div>
  );
}

/** Apart, since only what waits needs to know who stands in the way. */
function WaitLine({ drawing }: { drawing: WholeDrawing }) {
  const places = usePlaces(drawing.id);
  const gpu = typeof drawing.config.gpu === "string" ? drawing.config.gpu : "any";
  return (
    <p className={classes.wait} role="status">
      {places !== null && waitWordsOf(drawing, gpu, places)}
    </p>
  );
}

function phaseOf({ phase, status, progress }: WholeDrawing): string {
  if (phase === "sample") {
    return words.result.drawing;
  }
  const said = phase === null ? text.status[status] : (text.phase[phase] ?? phase);
  return progress !== null && progress.total > 1
    ? `${said}, ${progress.done} / ${progress.total}`
    : said;
}
