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

READ_BACK_BYTES = 64  # holds the time of a command, which no other has


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
    """Reads a run's commands once each, in order.

    What stands before the offset tells whether the file is still the one that was read: a file that
    was made anew may be longer, and have the same inode.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._read_last = b""
        self._bad_lines: list[str] = []

    def take_bad_lines(self) -> list[str]:
        """Lines since the last call that are no commands."""
        taken, self._bad_lines = self._bad_lines, []
        return taken

    def new_commands(self) -> list[Command]:
        """Commands since the last call; lines that are none wait for `take_bad_lines`."""
        if self._before_offset() != self._read_last:
            # Removed, cut or replaced: whatever it holds now is new.
            self._offset, self._read_last = 0, b""
        lines, end = read_lines(self._path, self._offset)
        if end != self._offset:
            self._offset = end
            self._read_last = self._before_offset()
        found: list[Command] = []
        for line in lines:
            try:
                found.append(Command.model_validate(json.loads(line)))
            except (ValueError, RecursionError, ValidationError):
                self._bad_lines.append(line)
        return found

    def _before_offset(self) -> bytes:
        if self._offset == 0:
            return b""
        start = max(0, self._offset - READ_BACK_BYTES)
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(self._offset - start)
        except FileNotFoundError:
            return b""
