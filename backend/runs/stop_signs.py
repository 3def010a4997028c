"""What a run's files say about a stop: whether it was asked for, and whether the trainer heard it.

The files know more than the database: a person may write a command by hand, and whoever asks may
have come after the worker that read the events.
"""

from __future__ import annotations

from pathlib import Path

from backend.runs.event_lines import parse_lines
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
    offset = 0
    while True:
        lines, end = read_lines(events, offset)
        if end == offset:
            return False
        # A long run has a line for each step, and few of them are worth parsing.
        found, _ = parse_lines([line for line in lines if '"stop"' in line], token)
        if any(isinstance(event, CommandTaken) and event.command == "stop" for event in found):
            return True
        offset = end
