"""A trainer that the system killed for lack of host memory: a failure of its own class.

SIGKILL alone does not say who sent it. The worker saw that the system's count of such kills rose
while the trainer ran, and sent none itself.
"""

from __future__ import annotations

import signal

from backend.launchers.launcher import Ended
from backend.runs.outcome import Outcome
from backend.system.schemas import HostMemory
from trainer.errors import OutOfMemory, Problem

_GIB = 2**30


def with_memory_kill(outcome: Outcome, ended: Ended, memory: HostMemory) -> Outcome:
    """The outcome; out of memory in place of a crash, if the system killed the trainer for it."""
    problem = outcome.problem
    if problem is None or problem["code"] != "crash":
        return outcome
    if ended.exit_code != -signal.SIGKILL or not ended.was_memory_short:
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
    return Outcome(outcome.status, f"failed: {OutOfMemory.code}", found.as_dict())
