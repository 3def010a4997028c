"""A trainer that the system killed for lack of host memory: a failure of its own class.

SIGKILL alone does not say who sent it. The worker saw that the system's count of such kills rose
while the trainer ran, and sent none itself. Of a trainer that an earlier worker had started, nobody
learns the signal: there the count must have risen since it was adopted, and it had no last word.
"""

from __future__ import annotations

import signal

from backend.jobs.status import JobStatus
from backend.launchers.launcher import Ended
from backend.runs.outcome import GONE, Outcome
from backend.system.schemas import HostMemory
from trainer.errors import OutOfMemory, Problem

_GIB = 2**30


def with_memory_kill(outcome: Outcome, ended: Ended, memory: HostMemory) -> Outcome:
    """The outcome; out of memory in place of a crash, if the system killed the trainer for it."""
    problem = outcome.problem
    if problem is None or not ended.was_memory_short or not _may_be_a_kill(outcome, ended):
        return outcome
    params = problem["params"]
    where = f"in phase {params['phase']} at step {params['step']}" if params["phase"] else "early"
    message = f"The machine ran out of memory: the system killed the trainer {where}."
    peak = ended.peak_resident_bytes
    if peak:
        message += (
            f" It had taken {peak / _GIB:.2f} GB at most; "
            f"the machine has {memory.total_bytes / _GIB:.1f} GB."
        )
    found = Problem(
        OutOfMemory.code,
        message,
        "Close other programs, or take less memory: the changes that help are listed with the "
        "failure. Its checkpoints are whole: it goes on from the newest.",
        params={
            **params,
            "device": "host",
            "peak_bytes": peak,
            "available_bytes": memory.total_bytes,
            "swap_used_bytes": memory.swap_used_bytes,
        },
    )
    # Also of one that would be an interruption: it would resume by itself into the same end.
    return Outcome(JobStatus.FAILED, f"failed: {OutOfMemory.code}", found.as_dict())


def _may_be_a_kill(outcome: Outcome, ended: Ended) -> bool:
    if ended.exit_code is None:
        return outcome.reason == GONE
    is_a_crash = outcome.problem is not None and outcome.problem["code"] == "crash"
    return is_a_crash and ended.exit_code == -signal.SIGKILL
