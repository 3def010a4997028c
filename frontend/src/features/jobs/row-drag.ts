/**
 * Dragging a row of a list by its handle, with mouse, pen or finger.
 *
 * The rows are found in the document by `data-job-id` within `data-job-list`. While a row is
 * dragged only its transform and a mark on the row beneath change, by hand and not by React, so that
 * a list of a thousand rows follows the pointer. Escape gives up; near the window's edges the page
 * scrolls. The keyboard has its own way, see order-handle.tsx.
 */

type Dropped = (before: number | null) => void;

const EDGE_PX = 72;
const SCROLL_PX_PER_FRAME = 12;
/** A press that moves less is no drag. */
const SLACK_PX = 4;

export function startRowDrag(handle: HTMLElement, event: PointerEvent, dropped: Dropped): void {
  const row = handle.closest<HTMLElement>("[data-job-id]");
  const list = handle.closest<HTMLElement>("[data-job-list]");
  if (row === null || list === null || event.button !== 0) {
    return;
  }
  const startY = event.clientY + window.scrollY;
  let pointerY = event.clientY;
  let isDragging = false;
  let frame = 0;
  let target: { row: HTMLElement; side: "before" | "after" } | null = null;

  const rowBeneath = (): HTMLElement | null => {
    const bounds = list.getBoundingClientRect();
    const inside = Math.min(Math.max(pointerY, bounds.top + 2), bounds.bottom - 2);
    const found = document
      .elementFromPoint(bounds.left + bounds.width / 2, inside)
      ?.closest<HTMLElement>("[data-job-id]");
    return found !== null && found !== undefined && list.contains(found) ? found : null;
  };

  const follow = () => {
    row.style.transform = `translateY(${pointerY + window.scrollY - startY}px)`;
    const beneath = rowBeneath();
    if (target !== null) {
      delete target.row.dataset.drop;
    }
    if (beneath === null || beneath === row) {
      target = null;
      return;
    }
    const { top, height } = beneath.getBoundingClientRect();
    target = { row: beneath, side: pointerY < top + height / 2 ? "before" : "after" };
    beneath.dataset.drop = target.side;
  };

  const scroll = () => {
    const down = pointerY > window.innerHeight - EDGE_PX;
    const up = pointerY < EDGE_PX;
    if (down || up) {
      window.scrollBy(0, down ? SCROLL_PX_PER_FRAME : -SCROLL_PX_PER_FRAME);
      follow();
    }
    frame = requestAnimationFrame(scroll);
  };

  const move = (moved: PointerEvent) => {
    pointerY = moved.clientY;
    if (!isDragging) {
      if (Math.abs(pointerY + window.scrollY - startY) < SLACK_PX) {
        return;
      }
      isDragging = true;
      row.dataset.dragging = "true";
      frame = requestAnimationFrame(scroll);
    }
    follow();
  };

  const end = () => {
    cancelAnimationFrame(frame);
    handle.removeEventListener("pointermove", move);
    handle.removeEventListener("pointerup", drop);
    handle.removeEventListener("pointercancel", end);
    handle.removeEventListener("lostpointercapture", end);
    document.removeEventListener("keydown", giveUp, true);
    row.style.transform = "";
    delete row.dataset.dragging;
    if (target !== null) {
      delete target.row.dataset.drop;
    }
  };

  const drop = () => {
    const place = target;
    end();
    if (place === null) {
      return;
    }
    const next = place.side === "before" ? place.row : rowAfter(place.row);
    if (next !== row) {
      dropped(next === null ? null : Number(next.dataset.jobId));
    }
  };

  const giveUp = (pressed: KeyboardEvent) => {
    if (pressed.key === "Escape") {
      pressed.preventDefault();
      pressed.stopPropagation();
      target = null;
      end();
    }
  };

  handle.setPointerCapture(event.pointerId);
  handle.addEventListener("pointermove", move);
  handle.addEventListener("pointerup", drop);
  handle.addEventListener("pointercancel", end);
  handle.addEventListener("lostpointercapture", end);
  document.addEventListener("keydown", giveUp, true);
}

function rowAfter(row: HTMLElement): HTMLElement | null {
  const next = row.nextElementSibling;
  return next instanceof HTMLElement && next.dataset.jobId !== undefined ? next : null;
}
