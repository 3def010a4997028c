"""What stands between the worker and a trainer: start, find again, look, end.

`local.py` starts child processes. A launcher for machines elsewhere would have the same methods and
belong to the cluster engine that runs them; the worker schedules one machine, not many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Order:
    """What to start. `token` is one of the command's words, so that the process can be found."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    token: str


@dataclass(frozen=True)
class TrainerProcess:
    """Which process a trainer is: an id alone may be another's by now."""

    process_id: int
    start_ticks: int
    token: str


@dataclass(frozen=True)
class Ended:
    """The trainer is gone. exit_code: negative for a signal; None if it was not our child.

    was_memory_short: while it ran, or since we adopted it, the system killed some process for lack
    of host memory.
    peak_resident_bytes: the most that it, or the largest of its children, held; None if unknown.
    """

    exit_code: int | None
    was_memory_short: bool = False
    peak_resident_bytes: int | None = None


class Launcher(Protocol):
    """Starts and ends trainers."""

    def start(self, order: Order) -> TrainerProcess:
        """Start a trainer that outlives this process. Raises OSError."""
        ...

    def find(self, token: str) -> TrainerProcess | None:
        """The living trainer with this token, whoever started it."""
        ...

    def poll(self, process: TrainerProcess) -> Ended | None:
        """None while it lives; once it has ended, whatever it left running is ended too."""
        ...

    def terminate(self, process: TrainerProcess) -> None:
        """Ask it and its children to end."""
        ...

    def kill(self, process: TrainerProcess) -> None:
        """End it and its children."""
        ...
