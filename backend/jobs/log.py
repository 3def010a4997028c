"""The trainer's log, from its end backwards or from a byte forwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.jobs.schemas import LogLine, LogPart

LONGEST_LINE = 2_000  # characters shown of a line
_WINDOW_BYTES = 1 << 20  # read at once; a log grows by some kilobytes a minute


@dataclass(frozen=True)
class LogPlace:
    """Where a run's log is; both None while the job had no run."""

    path: Path | None
    run_number: int | None


def read_log(place: LogPlace, *, offset: int | None, limit: int) -> LogPart:
    """Up to `limit` whole lines: the next ones from byte `offset`, or the last ones."""
    if place.path is None:
        return LogPart(items=[], next=None, run=None)
    if offset is None:
        lines, end = last_lines(place.path, limit)
    else:
        lines, end = lines_from(place.path, offset, limit)
    items = [LogLine(line=line) for line in lines]
    return LogPart(items=items, next=str(end), run=place.run_number)


def last_lines(path: Path, limit: int) -> tuple[list[str], int]:
    """The last whole lines, and the byte where they end."""
    size = path.stat().st_size if path.is_file() else 0
    start = max(0, size - _WINDOW_BYTES)
    chunk = _read(path, start)
    end = chunk.rfind(b"\n") + 1
    lines = chunk[:end].splitlines()
    whole = lines[1:] if start > 0 else lines  # the first may have lost its beginning
    return [shown_line(line) for line in whole[-limit:]], start + end


def lines_from(path: Path, offset: int, limit: int) -> tuple[list[str], int]:
    """The whole lines from byte `offset`, and the byte where they end.

    A line longer than the window is shown in pieces.
    """
    chunk = _read(path, offset)
    lines = chunk.split(b"\n")[:-1][:limit]
    if not lines and len(chunk) == _WINDOW_BYTES:
        return [shown_line(chunk)], offset + len(chunk)
    end = offset + sum(len(line) + 1 for line in lines)
    return [shown_line(line) for line in lines], end


def shown_line(line: bytes) -> str:
    """A line as text: of a progress bar that rewrites itself, its last state."""
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    text = text.rsplit("\r", 1)[-1]
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_WINDOW_BYTES)
    except FileNotFoundError:
        return b""
