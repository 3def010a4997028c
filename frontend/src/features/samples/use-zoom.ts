/** Zoom and pan that all pictures on the stage share, so that two are looked at in one place. */

import { type PointerEvent, useCallback, useMemo, useRef, useState, type WheelEvent } from "react";

const LARGEST = 12;

interface View {
  scale: number;
  x: number;
  y: number;
}

export interface Zoom extends View {
  by: (factor: number) => void;
  pan: (x: number, y: number) => void;
  reset: () => void;
  /** For what is transformed. */
  transform: string;
  /** For what is dragged and wheeled. */
  handlers: {
    onWheel: (event: WheelEvent) => void;
    onPointerDown: (event: PointerEvent) => void;
    onPointerMove: (event: PointerEvent) => void;
    onPointerUp: () => void;
    onDoubleClick: () => void;
  };
}

const FIT: View = { scale: 1, x: 0, y: 0 };

export function useZoom(): Zoom {
  const [view, setView] = useState(FIT);
  const drag = useRef<{ x: number; y: number } | null>(null);

  const by = useCallback((factor: number) => {
    setView((before) => {
      const scale = Math.min(LARGEST, Math.max(1, before.scale * factor));
      const share = scale / before.scale;
      return scale < 1.01 ? FIT : { scale, x: before.x * share, y: before.y * share };
    });
  }, []);
  const pan = useCallback((x: number, y: number) => {
    setView((before) =>
      before.scale === 1 ? before : { ...before, x: before.x + x, y: before.y + y },
    );
  }, []);
  const reset = useCallback(() => setView(FIT), []);

  const handlers = useMemo(
    () => ({
      onWheel: (event: WheelEvent) => by(event.deltaY < 0 ? 1.15 : 1 / 1.15),
      onPointerDown: (event: PointerEvent) => {
        drag.current = { x: event.clientX, y: event.clientY };
      },
      onPointerMove: (event: PointerEvent) => {
        const from = drag.current;
        if (from !== null && event.buttons > 0) {
          pan(event.clientX - from.x, event.clientY - from.y);
          drag.current = { x: event.clientX, y: event.clientY };
        }
      },
      onPointerUp: () => {
        drag.current = null;
      },
      onDoubleClick: () => setView((before) => (before.scale === 1 ? { ...FIT, scale: 2.5 } : FIT)),
    }),
    [by, pan],
  );
  const transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  return { ...view, by, pan, reset, transform, handlers };
}
