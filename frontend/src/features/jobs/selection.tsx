/**
 * Which jobs a person has chosen, for what is done to several at once.
 *
 * A store and not a state, and it ticks the boxes itself: to choose a thousand jobs is to set a
 * property of a thousand boxes, and React draws nothing anew but the bar and the section's own box.
 */

import { createContext, type ReactNode, useContext, useState, useSyncExternalStore } from "react";

export class Selection {
  private ids: ReadonlySet<number> = new Set();
  private readonly listeners = new Set<() => void>();
  private readonly boxes = new Map<number, HTMLInputElement>();
  /** Where a range begins that is chosen with Shift. */
  private anchor: number | null = null;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly all = (): ReadonlySet<number> => this.ids;

  /** Keep a job's box ticked as the job is chosen, until what is returned is called. */
  readonly show = (id: number, box: HTMLInputElement): (() => void) => {
    this.boxes.set(id, box);
    box.checked = this.ids.has(id);
    return () => {
      if (this.boxes.get(id) === box) {
        this.boxes.delete(id);
      }
    };
  };

  /** `isChosen` for each of `ids`; the last of them is where a range may begin. */
  set(ids: readonly number[], isChosen: boolean): void {
    const next = new Set(this.ids);
    for (const id of ids) {
      if (isChosen) {
        next.add(id);
      } else {
        next.delete(id);
      }
    }
    this.anchor = ids.at(-1) ?? null;
    this.replace(next);
  }

  /** Everything between the job chosen last and this one, as `order` has them. */
  setRange(to: number, order: readonly number[], isChosen: boolean): void {
    const start = this.anchor === null ? -1 : order.indexOf(this.anchor);
    const end = order.indexOf(to);
    const range =
      start === -1 || end === -1
        ? [to]
        : order.slice(Math.min(start, end), Math.max(start, end) + 1);
    this.set(range, isChosen);
    this.anchor = to;
  }

  clear(): void {
    this.anchor = null;
    this.replace(new Set());
  }

  private replace(ids: ReadonlySet<number>): void {
    this.ids = ids;
    for (const [id, box] of this.boxes) {
      box.checked = ids.has(id);
    }
    for (const listener of this.listeners) {
      listener();
    }
  }
}

const SelectionContext = createContext<Selection | null>(null);

export function SelectionProvider({ children }: { children: ReactNode }) {
  const [selection] = useState(() => new Selection());
  return <SelectionContext value={selection}>{children}</SelectionContext>;
}

export function useSelection(): Selection {
  const selection = useContext(SelectionContext);
  if (selection === null) {
    throw new Error("This component must stand inside SelectionProvider.");
  }
  return selection;
}

export function useChosenIds(): ReadonlySet<number> {
  const selection = useSelection();
  return useSyncExternalStore(selection.subscribe, selection.all);
}
