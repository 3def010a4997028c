"""Alarms of a run: no progress, slow or skipped steps, a disk that fills up.

Each is raised once, and ended when it is over.

The rules are pure: they are told what was heard and measured, and by which clock. `RunAlarms` holds
one run's rules and says what changed; `alarm_board.py` writes that down.

no_progress   no event for `stall_seconds`. It ends with the next event.
slow_steps    the recent steps take twice as long as the best stretch of 50 in this run; see
              `runs/pace.py`. It ends when they take less than 1.5 times as long.
non_finite_steps  the last steps were skipped, since their loss or gradients were not finite. It
              ends with the next step that is.
disk_low      less than `low_disk_bytes` free where the job is saved, or where caches lie. It ends
              with a tenth more on both.
waiting_for_space  the run waits for room before a save. It ends when the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from backend.failures.classes import FailureClass, likely_cause
from backend.runs.pace import STRETCH_STEPS, Pace
from backend.worker.likely_cause import Reading, cause_of_silence, cause_of_slow_steps
from trainer.errors import Problem, Severity
from trainer.events import (
    STEP_SKIPPED,
    CheckpointSaved,
    Event,
    PhaseStarted,
    RunFinished,
    Step,
    WaitingForSpace,
    Warned,
)

AlarmCode = Literal[
    "no_progress", "slow_steps", "non_finite_steps", "disk_low", "waiting_for_space"
]
ALARM_CODES: tuple[AlarmCode, ...] = get_args(AlarmCode)

SLOW_FACTOR, FAST_AGAIN_FACTOR = 2.0, 1.5
ROOM_AGAIN_FACTOR = 1.1
_GIB = 2**30


@dataclass(frozen=True)
class Change:
    """An alarm that was raised, with what is to be said, or one that is over."""

    code: AlarmCode
    problem: Problem | None


class RunAlarms:
    """The alarms of one run. active: those that an earlier watch of the run has raised."""

    def __init__(
        self,
        *,
        stall_seconds: float,
        low_disk_bytes: float,
        clock: Callable[[], float],
        active: Collection[str] = (),
        step_seconds: Iterable[float] = (),
    ) -> None:
        self._stall_seconds = stall_seconds
        self._low_disk_bytes = low_disk_bytes
        self._clock = clock
        self._heard_at = clock()
        self._has_news = False
        self._pace = Pace()
        self._waiting: WaitingForSpace | Literal["unknown"] | None = "unknown"
        self._skipped: Warned | Literal["unknown"] | None = "unknown"
        self._active: set[AlarmCode] = {code for code in ALARM_CODES if code in active}
        for seconds in step_seconds:
            self._pace.add(seconds)

    def hear(self, events: Collection[Event]) -> None:
        """What the trainer said since the last time."""
        if not events:
            return
        self._heard_at = self._clock()
        self._has_news = True
        for event in events:
            if isinstance(event, Step):
                self._pace.add(event.step_seconds)
                self._skipped = None
            if isinstance(event, Warned) and event.code == STEP_SKIPPED:
                self._skipped = event
            if isinstance(event, WaitingForSpace):
                self._waiting = event
            elif isinstance(event, Step | PhaseStarted | CheckpointSaved | RunFinished):
                self._waiting = None

    def judge(
        self,
        *,
        phase: str | None,
        step: int,
        disks_free_bytes: Mapping[str, int],
        look: Callable[[], Reading],
    ) -> list[Change]:
        """Which alarms begin now, and which are over.

        disks_free_bytes: of each disk that is known, by the folder on it. look: at the machine;
        asked only when a cause is sought, since asking a card costs time.
        """
        wanted = {
            "no_progress": self._silence(phase, step),
            "slow_steps": self._slow_steps(step, look),
            "non_finite_steps": self._skips(),
            "disk_low": self._disk_low(disks_free_bytes),
            "waiting_for_space": self._waits(step),
        }
        self._has_news = False
        changes: list[Change] = []
        for code in ALARM_CODES:
            problem = wanted[code]
            if isinstance(problem, Problem) and code not in self._active:
                self._active.add(code)
                changes.append(Change(code, problem))
            elif problem is None and code in self._active:
                self._active.remove(code)
                changes.append(Change(code, None))
        return changes

    def end_all(self) -> list[Change]:
        """The run is over, and its alarms with it."""
        ended = [Change(code, None) for code in ALARM_CODES if code in self._active]
        self._active.clear()
        return ended

    def _silence(self, phase: str | None, step: int) -> Problem | Literal["stays"] | None:
        silent_seconds = self._clock() - self._heard_at
        if silent_seconds < self._stall_seconds:
            # An alarm of an earlier watch stays until something is heard.
            return None if self._has_news or "no_progress" not in self._active else "stays"
        where = f"in phase {phase} at step {step}" if phase else "before its first phase"
        return _alarm(
            "no_progress",
            f"The trainer has said nothing for {silent_seconds:.0f} s {where}.",
            cause_of_silence(phase),
            {"phase": phase, "step": step, "silent_seconds": round(silent_seconds)},
        )

    def _slow_steps(
        self, step: int, look: Callable[[], Reading]
    ) -> Problem | Literal["stays"] | None:
        factor = self._pace.factor()
        if factor is None or factor < FAST_AGAIN_FACTOR:
            return None
        if factor < SLOW_FACTOR or "slow_steps" in self._active:
            return "stays"
        best, recent = self._pace.best_seconds, self._pace.recent_seconds
        assert best is not None, "without a best there is no factor"
        return _alarm(
            "slow_steps",
            f"Steps take {recent:.3g} s, {factor:.1f} times as long as the best {STRETCH_STEPS} of "
            f"this run ({best:.3g} s).",
            cause_of_slow_steps(look()),
            {"step": step, "best_seconds": best, "recent_seconds": recent},
        )

    def _skips(self) -> Problem | Literal["stays"] | None:
        skipped = self._skipped
        if skipped == "unknown":  # an alarm of an earlier watch stays until something is heard
            return "stays" if "non_finite_steps" in self._active else None
        if skipped is None:
            return None
        return _alarm(
            "non_finite_steps",
            f"The last steps come to nothing. {skipped.message}",
            f"{likely_cause(FailureClass.NON_FINITE, None)} {skipped.hint}".rstrip(),
            dict(skipped.params),
        )

    def _disk_low(self, disks: Mapping[str, int]) -> Problem | Literal["stays"] | None:
        folder = min(disks, key=lambda name: disks[name], default=None)
        if folder is None:
            return None
        free = disks[folder]
        if free >= self._low_disk_bytes * ROOM_AGAIN_FACTOR:
            return None
        if free >= self._low_disk_bytes:
            return "stays"
        return _alarm(
            "disk_low",
            f"The disk of the {folder} folder has {free / _GIB:.1f} GiB left, less than "
            f"{self._low_disk_bytes / _GIB:.3g}.",
            "Empty the trash, delete checkpoints that you do not need, or clear the cache folder: "
            "without room, the next save or the next cached file waits or fails.",
            {"folder": folder, "free_bytes": free},
        )

    def _waits(self, step: int) -> Problem | Literal["stays"] | None:
        waiting = self._waiting
        if waiting == "unknown":  # an alarm of an earlier watch stays until something is heard
            return "stays" if "waiting_for_space" in self._active else None
        if waiting is None:
            return None
        return _alarm(
            "waiting_for_space",
            f"The run is {waiting.sentence} on the disk of {waiting.folder}.",
            "Empty the trash, delete what you do not need, or clear the cache folder: it goes on "
            "by itself, without losing a step. Stopped now, it saves only if there is room.",
            {
                "step": step,
                "folder": waiting.folder,
                "needed_bytes": waiting.needed_bytes,
                "free_bytes": waiting.free_bytes,
            },
        )


def _alarm(code: AlarmCode, message: str, hint: str, params: dict[str, object]) -> Problem:
    return Problem(code, message, hint, severity=Severity.WARNING, params=params)
