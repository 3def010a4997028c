"""What a run is told while it works: one JSON object a line in `commands.jsonl`.

The worker (or a person: `echo '{"seq":1,"command":"stop"}' >> commands.jsonl`) appends; the run
reads at each step, at each denoising step of a sample and between the units of every other phase.
A file outlives both ends, so a command given while nobody was looking is still obeyed.

    {"seq": 1, "command": "save"}
    {"seq": 2, "command": "change", "settings": {"training.steps": 3000, "sample.sample_every": 50}}

What `change` may change, and how it is judged, stands in `live_changes.py`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.events import read_lines

CommandName = Literal["stop", "save", "sample", "change"]


class Command(BaseModel):
    """stop: end the step, save, exit. save: a checkpoint now. sample: the prompts now.

    change: other settings from the next step on; `settings` holds them by dotted path.
    """

    model_config = ConfigDict(extra="ignore")

    seq: int
    command: CommandName
    settings: dict[str, Any] = Field(default_factory=dict)
    time: float = 0.0


def append_command(
    path: Path, command: CommandName, settings: dict[str, Any] | None = None
) -> Command:
    """Add a command to a run's file; the worker is the only program that does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = Command(seq=time.time_ns(), command=command, settings=settings or {}, time=time.time())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, (given.model_dump_json() + "\n").encode("utf-8"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return given


class CommandReader:
    """Reads a run's commands once each, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._bad_lines: list[str] = []

    def take_bad_lines(self) -> list[str]:
        """Lines since the last call that are no commands."""
        taken, self._bad_lines = self._bad_lines, []
        return taken

    def new_commands(self) -> list[Command]:
        """Commands since the last call; lines that are none wait for `take_bad_lines`."""
        lines, self._offset = read_lines(self._path, self._offset)
        found: list[Command] = []
        for line in lines:
            try:
                found.append(Command.model_validate(json.loads(line)))
            except (ValueError, ValidationError):
                self._bad_lines.append(line)
        return found
