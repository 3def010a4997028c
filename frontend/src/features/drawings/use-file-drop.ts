import { type DragEvent, useRef, useState } from "react";

/** Files that are dropped on an element. `isOver`: they hang above it. */
export function useFileDrop(onFiles: (files: File[]) => void) {
  const [isOver, setOver] = useState(false);
  // Entering a child comes before leaving its parent, so that both are counted.
  const depth = useRef(0);
  const holdsFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  const enter = (by: number) => {
    depth.current = Math.max(0, depth.current + by);
    setOver(depth.current > 0);
  };
  return {
    isOver,
    handlers: {
      onDragEnter: (event: DragEvent) => holdsFiles(event) && enter(1),
      onDragLeave: (event: DragEvent) => holdsFiles(event) && enter(-1),
      // Without this the browser opens the file in the page's place.
      onDragOver: (event: DragEvent) => holdsFiles(event) && event.preventDefault(),
      onDrop: (event: DragEvent) => {
        depth.current = 0;
        setOver(false);
        if (event.dataTransfer.files.length > 0) {
          event.preventDefault();
          onFiles([...event.dataTransfer.files]);
        }
      },
    },
  };
}
