import { useState } from "react";
import type { CellSize } from "./grid-window";

const KEY = "darkroom.gallery.size";
const SIZES: CellSize[] = ["small", "medium", "large"];

/** How large pictures are in the grid, as this browser was told last. */
export function useCellSize(): [CellSize, (size: CellSize) => void] {
  const [size, setSize] = useState(read);
  const store = (next: CellSize) => {
    setSize(next);
    try {
      window.localStorage.setItem(KEY, next);
    } catch {
      // Storage may be forbidden; then it is so for this page only.
    }
  };
  return [size, store];
}

function read(): CellSize {
  try {
    const stored = window.localStorage.getItem(KEY);
    return SIZES.find((size) => size === stored) ?? "medium";
  } catch {
    return "medium";
  }
}
