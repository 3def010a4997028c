"""How a run ended, from what is known of it. A pure function, since it decides what people read.

What the trainer said last counts most: it knows whether its files are whole. Only why it stopped it
does not know: a signal of ours looks like that of a machine which restarts. A stop that nobody
asked for is an interruption. Without a last word, the exit code counts, which only the worker that
started it learns. Without either, the process is simply gone: the machine restarted, it ended while
no worker looked, or in a way that only the worker which started it could have seen.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from backend.jobs.status import JobStatus
from trainer import errors
from trainer.errors import DarkroomError, Problem, Severity

LOG_TAIL_LINES = 30
# The reason given for a run without a last word, whose end nobody saw.
GONE = "the trainer's process is gone"


@dataclass(frozen=True)
class LastKnown:
    """What is known at a run's end.

    finish: the run_finished event, as a mapping. exit_code: None if nobody saw it.
    asked_to_stop: by a person or the worker. used_force: by the worker. log_tail: the log's last
    lines.
    """

    finish: dict[str, Any] | None
    exit_code: int | None
    asked_to_stop: bool
    used_force: bool
    phase: str | None
    step: int
    log_tail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What becomes of the job."""

    status: JobStatus
    reason: str
    problem: dict[str, Any] | None = None


def outcome_of(known: LastKnown) -> Outcome:
    """The truth about a run that is over."""
    if known.finish is not None:
        return _by_its_last_word(known, known.finish)
    if known.used_force:
        return Outcome(JobStatus.STOPPED, "ended by force", _forced(known))
    if known.exit_code is None:
        return _by_absence(known)
    if known.exit_code == errors.EXIT_COMPLETED:
        return Outcome(JobStatus.COMPLETED, "exit code 0")
    if known.exit_code == errors.StopRequested.exit_code:
        return _stopped(known, f"exit code {known.exit_code}")
    return Outcome(JobStatus.FAILED, _exit_sentence(known), _by_exit_code(known))


def _by_its_last_word(known: LastKnown, finish: dict[str, Any]) -> Outcome:
    status = JobStatus(finish["outcome"])
    if status == JobStatus.STOPPED:
        return _stopped(known, f"the trainer stopped at step {finish['step']}")
    if status != JobStatus.FAILED:
        return Outcome(status, f"the trainer {finish['outcome']} at step {finish['step']}")
    found = [p for p in finish["problems"] if p.get("severity", "error") == Severity.ERROR]
    problem = found[0] if found else _by_exit_code(known)
    params = _circumstances(known) | dict(problem.get("params") or {})
    problem = {"field": None, "hint": "", "severity": Severity.ERROR} | problem
    return Outcome(status, f"failed: {problem['code']}", problem | {"params": params})


def _stopped(known: LastKnown, reason: str) -> Outcome:
    if known.asked_to_stop:
        return Outcome(JobStatus.STOPPED, reason)
    return _interrupted(
        known,
        "ended by a signal",
        f"The trainer was ended by a signal at step {known.step}, though nobody had asked it to "
        "stop: the machine or its container restarted.",
    )


def _by_absence(known: LastKnown) -> Outcome:
    if known.asked_to_stop:
        return Outcome(JobStatus.STOPPED, "gone after it was told to stop", _forced(known))
    return _interrupted(
        known,
        GONE,
        f"The trainer was gone at step {known.step}, without a last word: the machine restarted, "
        "or it ended while no worker ran, or was ended in a way that this worker could not see.",
    )


def _interrupted(known: LastKnown, reason: str, message: str) -> Outcome:
    hint = "Queue the job again; it goes on from its newest checkpoint."
    problem = Problem("lost_process", message, hint, params=_circumstances(known))
    return Outcome(JobStatus.INTERRUPTED, reason, problem.as_dict())


def _forced(known: LastKnown) -> dict[str, Any]:
    return Problem(
        "stop_forced",
        f"The trainer did not stop by itself and was ended at step {known.step}.",
        "What it did after its newest checkpoint is lost; queue the job to go on from there.",
        severity=Severity.WARNING,
        params=_circumstances(known),
    ).as_dict()


def _by_exit_code(known: LastKnown) -> dict[str, Any]:
    code = known.exit_code
    named = {kind.exit_code: kind for kind in DarkroomError.__subclasses__()}
    if code in named and code != errors.EXIT_CRASHED:
        last_line = known.log_tail[-1] if known.log_tail else _exit_sentence(known)
        kind = named[code]
        return Problem(
            kind.code, last_line, "The log says more.", params=_circumstances(known)
        ).as_dict()
    hint = "The log's last lines say where; please report it with the log."
    if code == -signal.SIGKILL:
        hint = (
            "A system that runs out of memory kills the largest process: close other programs, or "
            "lower resolution, batch size or rank. Then queue it again; it goes on from its newest "
            "checkpoint."
        )
    return Problem(
        "crash", f"{_exit_sentence(known)}.", hint, params=_circumstances(known)
    ).as_dict()


def _exit_sentence(known: LastKnown) -> str:
    code = known.exit_code
    where = f"in phase {known.phase} at step {known.step}" if known.phase else "before it began"
    if code is None:
        return f"The trainer ended {where}"
    if code < 0:
        return f"The trainer was ended by {_signal_name(-code)} {where}"
    return f"The trainer ended with exit code {code} {where}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _circumstances(known: LastKnown) -> dict[str, Any]:
    return {
        "phase": known.phase,
        "step": known.step,
        "exit_code": known.exit_code,
        "log_tail": known.log_tail,
    }
