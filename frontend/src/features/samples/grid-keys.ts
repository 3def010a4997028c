/** Where the arrow keys lead in a grid of rows and columns. */

export interface Place {
  lane: string;
  step: number;
}

const PAGE_ROWS = 4;

const moves: Record<string, (at: At, size: Size, far: boolean) => At> = {
  ArrowLeft: (at) => ({ ...at, column: at.column - 1 }),
  ArrowRight: (at) => ({ ...at, column: at.column + 1 }),
  ArrowUp: (at) => ({ ...at, row: at.row - 1 }),
  ArrowDown: (at) => ({ ...at, row: at.row + 1 }),
  PageUp: (at) => ({ ...at, row: at.row - PAGE_ROWS }),
  PageDown: (at) => ({ ...at, row: at.row + PAGE_ROWS }),
  Home: (at, _size, far) => ({ row: far ? 0 : at.row, column: 0 }),
  End: (at, size, far) => ({ row: far ? size.rows - 1 : at.row, column: size.columns - 1 }),
};

interface At {
  row: number;
  column: number;
}

interface Size {
  rows: number;
  columns: number;
}

export function isGridKey(key: string): boolean {
  return key in moves;
}

/** Row and column after the key; at an edge it stays. */
export function gridMove(
  event: { key: string; ctrlKey: boolean },
  at: At,
  size: Size,
): [number, number] {
  const to = moves[event.key]?.(at, size, event.ctrlKey) ?? at;
  return [clamped(to.row, size.rows), clamped(to.column, size.columns)];
}

function clamped(index: number, count: number): number {
  return Math.min(Math.max(index, 0), Math.max(0, count - 1));
}
