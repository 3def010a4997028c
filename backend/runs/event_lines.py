"""Lines of a run's event file: which are events of this run, and what the others are."""

from __future__ import annotations

from collections.abc import Sequence

from backend.db.values import is_storable
from trainer.errors import Problem, Severity
from trainer.events import AnyEvent, BadLine, RunStarted, parse_line


def parse_lines(lines: Sequence[str], token: str) -> tuple[list[AnyEvent], list[Problem]]:
    """The events among the lines, and what is wrong with the others.

    token: of the run; nothing is taken from lines that another process wrote.
    """
    found: list[AnyEvent] = []
    faults: list[Problem] = []
    for line in lines:
        try:
            event = parse_line(line)
        except BadLine as error:
            faults.append(_unreadable(error))
            continue
        if event is None:
            faults.append(_unknown(line))
        elif isinstance(event, RunStarted) and event.token not in ("", token):
            return [], [_foreign(event)]
        elif not is_storable(event.model_dump()):
            faults.append(_unreadable(BadLine(line, "holding what is no finite number or text")))
        else:
            found.append(event)
    return found, faults


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
