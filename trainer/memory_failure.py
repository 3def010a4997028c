"""An out-of-memory failure as the person should hear of it: phase, measured peak, what would help.

The failure itself (`failures.py`) knows what was measured in the process that failed. What would
have helped comes from the memory plan: every change that lowers the peak of the phase in which it
happened, in the order in which to try them, each with what the changed job takes. Imports no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.errors import DarkroomError, OutOfMemory
from trainer.events import Phase
from trainer.folders import Folders
from trainer.machine import Machine, machine_at_hand
from trainer.memory_check import cure_as_dict
from trainer.memory_sizes import GIB
from trainer.memory_verdict import RUN_PHASES, Helping, helping_changes
from trainer.model_shapes import shapes_of

logger = logging.getLogger(__name__)

# What people read at a glance; all of them are in the failure's params.
_CURES_SAID = 4
_PHASES_SAID: dict[str, str] = {
    "download": "downloading the model",
    "encode": "encoding pictures and prompts",
    "load": "loading the model",
    "train": "training",
    "validate": "measuring",
    "sample": "drawing samples",
    "save": "saving a checkpoint",
    "finish": "writing the result",
}
_NO_CURE = (
    "No setting of the job lowers what this takes: end other programs that hold memory, or run it "
    "on a machine with more."
)
RESUMES = "Its checkpoints are whole: it goes on from the last one when it is started again."


def explained(
    failure: OutOfMemory,
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    folders: Folders,
    *,
    phase: Phase | None,
    goes_on: str = RESUMES,
) -> OutOfMemory:
    """The same failure with its phase and the changes that lower that phase's peak, in order.

    goes_on: what becomes of the work, behind the changes.
    """
    (problem,) = failure.problems
    params: dict[str, Any] = dict(problem.params)
    machine = machine_at_hand(job.job.gpu)
    on_device = params.get("device") == "gpu"
    place = "vram" if on_device else "ram"
    cures = cures_of_phase(job, indexes, folders, machine, phase, place=place).cures
    peak = params.get("peak_bytes")
    where = machine.card or "the card" if on_device else "the machine"
    there = machine.vram_bytes if on_device else machine.ram_bytes
    message = f"Out of memory while {_PHASES_SAID.get(phase or '', 'starting')}: {failure.message}"
    if peak and there:
        message += f" It had taken {peak / GIB:.2f} GB at most; {where} has {there / GIB:.1f} GB."
    ways = "; ".join(cure.label for cure in cures[:_CURES_SAID])
    cure = f"In this order: {ways}." if ways else _NO_CURE
    return OutOfMemory(
        message,
        f"{cure} {goes_on}",
        params={
            **params,
            "phase": phase,
            "available_bytes": there,
            "changes": [cure_as_dict(cure) for cure in cures],
        },
    )


def explained_if_possible(
    failure: OutOfMemory, explain: Callable[[OutOfMemory], DarkroomError]
) -> DarkroomError:
    """As `explain` tells it, or as it is: the search for what would help may fail too, for lack of
    memory or by a mistake of ours, and must not hide what happened.
    """
    try:
        return explain(failure)
    except Exception as error:
        logger.warning("What would have helped could not be planned.", exc_info=error)
        return failure


def cures_of_phase(
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    folders: Folders,
    machine: Machine,
    phase: str | None,
    *,
    place: Literal["vram", "ram"],
) -> Helping:
    """What lowers the peak of a run's phase on the card or in RAM, in the order of trying; nothing
    for a phase that the plan does not know.
    """
    phases = RUN_PHASES.get(phase or "")
    if phases is None:
        return Helping(0, ())
    shapes = shapes_of(job.model, folders)
    return helping_changes(job, shapes, indexes, machine, phases, place=place)
