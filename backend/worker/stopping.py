"""How a stop ends for certain: the command, then a signal to end, then the end.

A trainer that was told to stop finishes its step, saves and exits; on a large model that may take
minutes, and killing it then would lose the work it is saving. So patience counts from its last
sign of progress, not from the click. But a trainer that goes on training as if nothing was said
makes no progress towards its stop: until it has taken the command, only the end of the step in hand
counts.

A trainer that has said its last word and stays, in the teardown of a driver or behind a thread that
does not end, is given the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from trainer.events import CommandTaken, Event, RunFinished, Step


class Measure(Enum):
    """What to do with a trainer that is to stop."""

    WAIT = "wait"
    TERMINATE = "terminate"
    KILL = "kill"


class StopWatch:
    """Counts the patience with one trainer; `clock` is monotonic, in seconds."""

    def __init__(
        self, *, patience_seconds: float, kill_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._patience_seconds = patience_seconds
        self._kill_seconds = kill_seconds
        self._clock = clock
        self._last_sign: float | None = None
        self._terminated: float | None = None
        self._took_command = False
        self._finished_a_step = False

    @property
    def is_asked(self) -> bool:
        """Whether the patience is being counted."""
        return self._last_sign is not None

    @property
    def used_force(self) -> bool:
        """Whether the trainer was ended by a signal."""
        return self._terminated is not None

    def ask(self, *, was_taken: bool = False) -> None:
        """The stop command was written, or the last word said; once is enough.

        was_taken: the trainer had said that it obeys the command before this watch began.
        """
        if self._last_sign is None:
            self._last_sign = self._clock()
            self._took_command = was_taken

    def hear(self, events: Iterable[Event]) -> None:
        """What the trainer said since the last look."""
        if self._last_sign is None:
            return
        for event in events:
            if isinstance(event, CommandTaken) and event.command == "stop":
                self._took_command = True
            first_step = isinstance(event, Step) and not self._finished_a_step
            self._finished_a_step |= first_step
            if self._took_command or first_step or isinstance(event, RunFinished):
                self._last_sign = self._clock()

    def measure(self) -> Measure:
        """What to do now."""
        if self._last_sign is None:
            return Measure.WAIT
        now = self._clock()
        if self._terminated is not None:
            waited = now - self._terminated
            return Measure.KILL if waited >= self._kill_seconds else Measure.WAIT
        if now - self._last_sign < self._patience_seconds:
            return Measure.WAIT
        self._terminated = now
        return Measure.TERMINATE
