"""What a run's files say about a stop: whether it was asked for, and whether the trainer heard it.

The files know more than the database: a person may write a command by hand, and whoever asks may
have come after the worker that read the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backend.runs.event_lines import EventLines
from trainer.commands import CommandReader
from trainer.events import CommandTaken, read_lines
from trainer.job_folder import RunFolder


def stop_was_asked(files: RunFolder, token: str) -> bool:
    """Whether a stop command was given, by whomever; its file may have been removed since."""
    given = CommandReader(files.commands).new_commands()
    return any(command.command == "stop" for command in given) or stop_was_taken(
        files.events, token
    )


def stop_was_taken(events: Path, token: str) -> bool:
    """Whether the trainer has said that it obeys a stop command."""
    # A long run has a line for each step; they are parsed only where a stop may be among them.
    if not any('"stop"' in line for lines in _windows(events) for line in lines):
        return False
    event_lines = EventLines(token)
    return any(
        isinstance(event, CommandTaken) and event.command == "stop"
        for lines in _windows(events)
        for event in event_lines.parse(lines)[0]
    )


def _windows(events: Path) -> Iterator[list[str]]:
    offset = 0
    while True:
        lines, end = read_lines(events, offset)
        if end == offset:
            return
        yield lines
        offset = end
