"""The trainer's log, from its end backwards or from a byte on, and as the file that it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from backend.errors import NotFound, Unusable
from backend.jobs.schemas import LogLine, LogPart

LONGEST_LINE = 2_000  # characters shown of a line
_WINDOW_BYTES = 1 << 20  # read at once; a log grows by some kilobytes a minute


@dataclass(frozen=True)
class LogPlace:
    """Where a run's log is; path and number are None while the job had no run."""

    training_name: str
    path: Path | None
    run_number: int | None


def read_log(place: LogPlace, *, offset: int | None, before: int | None, limit: int) -> LogPart:
    """Up to `limit` whole lines: the next ones from byte `offset`, the last ones before byte
    `before`, or the last ones. Raises Unusable for both.
    """
    if offset is not None and before is not None:
        raise Unusable(
            "two_log_places",
            f"A log is read on from byte {offset} or back from byte {before}, not both.",
            "Leave out offset or before.",
        )
    if place.path is None:
        return LogPart(items=[], next=None, run=None)
    if offset is not None:
        lines, end = _lines_from(place.path, offset, limit)
    else:
        lines, end = _lines_before(place.path, before, limit)
    return LogPart(items=_shown(lines, end), next=str(end), run=place.run_number)


@dataclass(frozen=True)
class LogFile:
    """A log as a download: what there is of it now, however much is written meanwhile."""

    name: str
    size_bytes: int
    parts: Iterator[bytes]


def log_file(place: LogPlace) -> LogFile:
    """The whole log of a run. Raises NotFound while the job had no run."""
    if place.path is None:
        raise NotFound(
            "no_run_yet", f"{place.training_name} had no run yet.", "A run writes the log."
        )
    size = _size(place.path)
    name = f"{place.training_name}-run-{place.run_number}.log"
    return LogFile(name, size, _parts(place.path, size))


def last_lines(path: Path, limit: int) -> tuple[list[str], int]:
    """The last whole lines, and the byte where they end."""
    lines, end = _lines_before(path, None, limit)
    return [shown_line(line) for line in lines], end


def lines_from(path: Path, offset: int, limit: int) -> tuple[list[str], int]:
    """The whole lines from byte `offset`, and the byte where they end."""
    lines, end = _lines_from(path, offset, limit)
    return [shown_line(line) for line in lines], end


def shown_line(line: bytes) -> str:
    """A line as text: of a progress bar that rewrites itself, its last state."""
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    text = text.rsplit("\r", 1)[-1]
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"


def _lines_from(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    """Whole lines with their ends, and the byte after them.

    A line longer than the window comes in pieces.
    """
    chunk = _read(path, offset, _WINDOW_BYTES)
    lines = BytesIO(chunk[: chunk.rfind(b"\n") + 1]).readlines()[:limit]
    if not lines and len(chunk) == _WINDOW_BYTES:
        lines = [chunk]
    return lines, offset + sum(map(len, lines))


def _lines_before(path: Path, before: int | None, limit: int) -> tuple[list[bytes], int]:
    """The same from the window that ends at byte `before`, or at the end of the last whole line."""
    stop = _size(path) if before is None else min(before, _size(path))
    start = max(0, stop - _WINDOW_BYTES)
    chunk = _read(path, start, stop - start)
    if before is None:
        chunk = chunk[: chunk.rfind(b"\n") + 1]
    lines = BytesIO(chunk).readlines()
    if start > 0 and len(lines) > 1:
        del lines[0]  # it may have lost its beginning
    return lines[-limit:], start + len(chunk)


def _shown(lines: list[bytes], end: int) -> list[LogLine]:
    offset = end - sum(map(len, lines))
    shown: list[LogLine] = []
    for line in lines:
        shown.append(LogLine(line=shown_line(line), offset=offset))
        offset += len(line)
    return shown


def _parts(path: Path, size: int) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        part = _read(path, offset, min(_WINDOW_BYTES, size - offset))
        if not part:  # deleted meanwhile: the download breaks off, as it must
            return
        yield part
        offset += len(part)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read(path: Path, offset: int, num_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(num_bytes)
    except FileNotFoundError:
        return b""
