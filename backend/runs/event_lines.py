"""Lines of a run's event file: which are events of this run, and what the others are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from backend.db.values import is_storable
from trainer.errors import Problem, Severity
from trainer.events import AnyEvent, BadLine, RunStarted, parse_line

_SHOWN_BYTES = 200  # of a line, in what is told of it


class EventLines:
    """Reads one run's event file, window by window and in order.

    A run's file has one writer, but a folder can be copied and a file pasted into. From a
    `run_started` of another run on, lines are that run's for as long as `seq` counts on from it;
    they are left out and told of once. Ours go on with our own `run_started`, or where our own
    count goes on.
    """

    def __init__(self, token: str) -> None:
        """token: of the run."""
        self._token = token
        self._last_seq = 0
        # Of the other run whose lines stand here; None among our own.
        self._foreign_seq: int | None = None

    def parse(self, lines: Sequence[str]) -> tuple[list[AnyEvent], list[Problem]]:
        """The run's events among the lines, and what is wrong with the others."""
        found: list[AnyEvent] = []
        faults: list[Problem] = []
        for line in lines:
            event, fault = read_line(line)
            if event is None:
                faults += [fault] if fault is not None and self._foreign_seq is None else []
            elif isinstance(event, RunStarted) and event.token not in ("", self._token):
                self._foreign_seq = event.seq
                faults.append(_foreign(event))
            elif not self._is_foreign(event):
                self._foreign_seq, self._last_seq = None, event.seq
                found.append(event)
        return found, faults

    def _is_foreign(self, event: AnyEvent) -> bool:
        if self._foreign_seq is None or isinstance(event, RunStarted):
            return False
        if event.seq == self._foreign_seq + 1:
            self._foreign_seq = event.seq
            return True
        return event.seq != self._last_seq + 1


def read_line(line: str) -> tuple[AnyEvent | None, Problem | None]:
    """The event on a line, or what is wrong with the line."""
    try:
        event = parse_line(line)
    except BadLine as error:
        return None, _unreadable(error)
    if event is None:
        return None, _unknown(line)
    if not _is_storable(event):
        return None, _unreadable(
            BadLine(line, "holding what is no finite number or text, or nested too deep")
        )
    return event, None


def torn_end(events: Path, end: int) -> Problem | None:
    """What to say of the bytes of a finished run's file from `end` on, where its last line ends."""
    try:
        with events.open("rb") as file:
            file.seek(end)
            line = file.read(_SHOWN_BYTES).decode("utf-8", errors="replace")
            num_bytes = os.fstat(file.fileno()).st_size - end
    except OSError:  # gone; a run is closed all the same
        return None
    if not line:
        return None
    return Problem(
        "torn_event",
        f"events.jsonl ends in the middle of a line: {line[:80]!r}.",
        "The trainer was cut off while it wrote it; what it was to say is lost. The checkpoints "
        "before it are whole.",
        severity=Severity.WARNING,
        params={"line": line, "num_bytes": num_bytes},
    )


def _is_storable(event: AnyEvent) -> bool:
    try:
        return is_storable(event.model_dump())
    except (ValueError, RecursionError):  # nested too deep to be written anywhere
        return False


def _unreadable(error: BadLine) -> Problem:
    return Problem(
        "unreadable_event",
        f"A line of events.jsonl is {error.reason}: {error.line[:80]!r}.",
        "It was skipped; the training is not affected.",
        severity=Severity.WARNING,
        params={"line": error.line, "reason": error.reason},
    )


def _unknown(line: str) -> Problem:
    return Problem(
        "unknown_event",
        f"events.jsonl holds an event that this version does not know: {line[:80]!r}.",
        "It was skipped. Update Darkroom if the trainer is newer.",
        severity=Severity.WARNING,
        params={"line": line[:200]},
    )


def _foreign(event: RunStarted) -> Problem:
    return Problem(
        "foreign_events",
        f"The run's folder holds events of another process ({event.process_id}).",
        "They were skipped. Do not copy run folders into a job's folder.",
        severity=Severity.WARNING,
        params={"process_id": event.process_id},
    )
