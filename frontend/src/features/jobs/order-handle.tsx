import { createContext, type KeyboardEvent, useContext, useLayoutEffect, useRef } from "react";
import type { JobList } from "@/api/job-lists";
import type { JobSummary } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import classes from "./order-handle.module.css";
import { startRowDrag } from "./row-drag";
import type { MoveJob } from "./use-queue-order";
import { type Step, targetOf } from "./waiting-order";

/** The waiting list as it is when a key is pressed, and how to move in it. */
interface Order {
  list: () => JobList;
  move: MoveJob;
}

/** Null outside of a list that has an order. Its value never changes, so that no row is drawn anew. */
export const OrderContext = createContext<Order | null>(null);

/** Move a job by one place or to an end; says why not where there is nowhere to go. */
export function useOrderStep(): ((job: JobSummary, step: Step) => void) | null {
  const order = useContext(OrderContext);
  if (order === null) {
    return null;
  }
  return (job, step) => {
    const target = targetOf(order.list(), job.id, step);
    if (typeof target === "string") {
      announce(text.order[target](job.training_name));
    } else {
      order.move(job, target.before);
    }
  };
}

const stepOfKey: Record<string, Step> = {
  ArrowUp: "up",
  ArrowDown: "down",
  Home: "top",
  End: "bottom",
};

/** Where a waiting row is taken hold of. */
export function OrderHandle({ job }: { job: JobSummary }) {
  const order = useContext(OrderContext);
  const step = useOrderStep();
  const button = useRef<HTMLButtonElement>(null);
  const isPressed = useRef(false);

  // A row that moves down is taken out of the document and put in again, which loses the focus: the
  // next press would go nowhere. It comes back with the row, unless it went elsewhere meanwhile.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the place is what the row moves with.
  useLayoutEffect(() => {
    if (!isPressed.current) {
      return;
    }
    if (document.activeElement === document.body) {
      button.current?.focus();
    } else if (document.activeElement !== button.current) {
      isPressed.current = false;
    }
  }, [job.queue_position]);

  if (order === null || step === null || job.queue_position === null) {
    return null;
  }

  const press = (event: KeyboardEvent) => {
    const wanted = stepOfKey[event.key];
    if (wanted === undefined || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    event.preventDefault();
    isPressed.current = true;
    step(job, wanted);
  };

  return (
    <button
      ref={button}
      type="button"
      id={`order-${job.id}`}
      className={classes.handle}
      aria-label={text.order.handle(job.training_name, job.queue_position)}
      aria-keyshortcuts="ArrowUp ArrowDown Home End"
      title={text.order.help}
      onKeyDown={press}
      onPointerDown={(event) =>
        startRowDrag(event.currentTarget, event.nativeEvent, (before) => order.move(job, before))
      }
    >
      <Icon name="grip" size={18} />
    </button>
  );
}
