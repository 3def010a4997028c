"""An out-of-memory failure as the person should hear of it: phase, measured peak, what would help.

The failure itself (`failures.py`) knows what was measured in the process that failed. What would
have helped comes from the memory plan: every change that lowers the peak of the phase in which it
happened, in the order of what it costs, each with what the changed job takes. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.errors import OutOfMemory
from trainer.events import Phase
from trainer.folders import Folders
from trainer.machine import Machine, machine_at_hand
from trainer.memory_check import cure_as_dict
from trainer.memory_sizes import GIB
from trainer.memory_verdict import RUN_PHASES, Cure, helping_changes
from trainer.model_shapes import shapes_of

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
_RESUMES = "Its checkpoints are whole: it goes on from the last one when it is started again."


def explained(
    failure: OutOfMemory,
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    folders: Folders,
    *,
    phase: Phase | None,
) -> OutOfMemory:
    """The same failure with its phase and the changes that lower that phase's peak, in order."""
    (problem,) = failure.problems
    params: dict[str, Any] = dict(problem.params)
    machine = machine_at_hand(job.job.gpu)
    on_device = params.get("device") == "gpu"
    cures = _cures(job, indexes, folders, machine, phase)
    peak = params.get("peak_bytes")
    where = machine.card or "the card" if on_device else "the machine"
    there = machine.vram_bytes if on_device else machine.ram_bytes
    message = f"Out of memory while {_PHASES_SAID.get(phase or '', 'starting')}: {failure.message}"
    if peak and there:
        message += f" It had taken {peak / GIB:.2f} GB at most; {where} has {there / GIB:.1f} GB."
    ways = "; ".join(cure.label for cure in cures[:_CURES_SAID])
    hint = f"In this order: {ways}. {_RESUMES}" if ways else f"{failure.hint} {_RESUMES}"
    return OutOfMemory(
        message,
        hint,
        params={
            **params,
            "phase": phase,
            "available_bytes": there,
            "changes": [cure_as_dict(cure) for cure in cures],
        },
    )


def _cures(
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    folders: Folders,
    machine: Machine,
    phase: Phase | None,
) -> tuple[Cure, ...]:
    phases = RUN_PHASES.get(phase or "")
    if phases is None:
        return ()
    return helping_changes(job, shapes_of(job.model, folders), indexes, machine, phases)
