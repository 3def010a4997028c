"""The memory plan at the door: a job that cannot fit is refused, unless the person insists.

To insist is the setting Memory Plan (Advanced): the plan is then a warning. What is refused names
the phase, the two numbers and the smallest changes that fit; where a disk has no room, the folder,
the two numbers and what would write less. Imports no torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.errors import DarkroomError, Problem, Severity
from trainer.folders import Folders
from trainer.hub import HubRepository
from trainer.machine import Machine
from trainer.memory_sizes import GIB, MIB
from trainer.memory_verdict import Cure, Judged, Shortfall, fits, judge
from trainer.model_parts import model_source
from trainer.model_shapes import is_on_this_machine, shapes_of

# What helps against a full disk beside settings.
FREE_THE_DISK = "free space on that disk (the trash counts), or move that folder to another one"
_FIELD = "advanced.memory_plan"


def judge_job(
    job: JobConfig, indexes: Sequence[DatasetIndex], machine: Machine, folders: Folders
) -> Judged:
    """The job's plan on the machine, with the sizes of the very model that it names."""
    has_to_download, repository = False, ""
    with contextlib.suppress(DarkroomError):  # the door says what is wrong with the model
        source = model_source(job.model, folders)
        has_to_download = not is_on_this_machine(source)
        if isinstance(source.base, HubRepository):
            repository = source.base.cache_folder_name
    return judge(
        job,
        shapes_of(job.model, folders),
        indexes,
        machine,
        has_to_download=has_to_download,
        repository=repository,
    )


def fits_memory(
    job: JobConfig, indexes: Sequence[DatasetIndex], machine: Machine, folders: Folders
) -> bool:
    """Whether its plan fits the machine's memory, whatever may be said against its disks."""
    return fits(job, shapes_of(job.model, folders), indexes, machine)


def memory_problems(job: JobConfig, judged: Judged, machine: Machine) -> Iterator[Problem]:
    """What does not fit: for VRAM and for RAM the phase that lacks the most, and the disks."""
    for missing in ("vram", "ram"):
        lacking = [short for short in judged.shortfalls if short.missing == missing]
        if lacking:
            worst = max(lacking, key=lambda short: short.needed_bytes)
            yield _does_not_fit(job, worst, judged, machine)
    for short in judged.shortfalls:
        if short.missing == "disk":
            yield _no_room(job, short, judged, machine)


def shortfall_sentence(short: Shortfall, machine: Machine) -> str:
    """What does not fit, with both numbers."""
    needed, there = _in_gb(short.needed_bytes), _in_gb(short.available_bytes)
    if short.missing == "disk":
        return (
            f"The disk of {short.path} has {there} free, and the job has {needed} to write there: "
            f"{short.label}."
        )
    where = (machine.card or "the card") if short.missing == "vram" else "this machine"
    kind = "VRAM" if short.missing == "vram" else "RAM"
    return f"{short.label} takes {needed} of {kind}, and {where} has {there}."


def cure_as_dict(cure: Cure) -> dict[str, Any]:
    """The wire form that problems and the API share."""
    return {
        "label": cure.label,
        "settings": cure.settings,
        "vram_bytes": cure.vram_bytes,
        "ram_bytes": cure.ram_bytes,
        "fits": cure.fits,
    }


def _does_not_fit(job: JobConfig, short: Shortfall, judged: Judged, machine: Machine) -> Problem:
    insists = job.advanced.memory_plan == "go_on"
    ways = " Or: ".join(f"{_sentence(cure.label)}" for cure in judged.cures)
    if not ways:
        ways = "No change of settings makes it fit: take a smaller model or a larger card."
    hint = (
        f"{ways} It runs all the same, as Memory Plan (Advanced) says."
        if insists
        else f"{ways} To run it all the same, set Memory Plan (Advanced) to go on."
    )
    return Problem(
        "does_not_fit",
        shortfall_sentence(short, machine),
        hint,
        _FIELD,
        Severity.WARNING if insists else Severity.ERROR,
        {**_numbers(short), "changes": [cure_as_dict(cure) for cure in judged.cures]},
    )


def _no_room(job: JobConfig, short: Shortfall, judged: Judged, machine: Machine) -> Problem:
    insists = job.advanced.memory_plan == "go_on"
    ways = [f"{_sentence(cure.label)}" for cure in judged.disk_cures]
    ways.append(_sentence(FREE_THE_DISK))
    hint = " Or: ".join(ways)
    if insists:
        hint += " It runs all the same, as Memory Plan (Advanced) says; a save waits for room."
    return Problem(
        "disk_too_small",
        shortfall_sentence(short, machine),
        hint,
        None,
        Severity.WARNING if insists else Severity.ERROR,
        {**_numbers(short), "changes": [cure_as_dict(cure) for cure in judged.disk_cures]},
    )


def _numbers(short: Shortfall) -> dict[str, Any]:
    return {
        "phase": short.phase,
        "missing": short.missing,
        "folder": short.folder,
        "path": short.path,
        "needed_bytes": short.needed_bytes,
        "available_bytes": short.available_bytes,
    }


def _sentence(label: str) -> str:
    return f"{label[0].upper()}{label[1:]}."


def _in_gb(num_bytes: int) -> str:
    gb = num_bytes / GIB
    return f"{gb:.1f} GB" if gb >= 1 else f"{num_bytes / MIB:.0f} MB"
