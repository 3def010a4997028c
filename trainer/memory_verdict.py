"""Does a job fit a machine, what is missing where, and which changes would make it fit.

    judged = judge(job, shapes, indexes, machine, has_to_download=False)
    judged.shortfalls     what does not fit: phase, needed, there is
    judged.cures          the smallest changes that fit, each planned anew; empty if it fits
    judged.disk_cures     the same for a disk that is too small

*auto* offloading is settled first: it asks for the largest share of blocks that may stay.

**Cures.** Changes are tried in the order of what they cost a person (`memory_changes.py`): those
that leave the results the same to the bit come first, smaller pictures last. One that fits by
itself is a cure of its own. If none does, changes that help are added up in that order until the
job fits, and those that turn out not to be needed are taken out again. Every figure given with a
cure is the plan of the changed job. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.disk_places import Folder, folder_bytes
from trainer.disk_room import shortages
from trainer.machine import Machine
from trainer.memory_changes import (
    Change,
    changes_back_to_the_card,
    changes_of,
    disk_changes,
    in_order_of_trying,
    larger_shares,
    larger_shares_that_fit,
)
from trainer.memory_disk import DiskPart, plan_disk
from trainer.memory_plan import MemoryPlan, PhaseName, plan_memory
from trainer.memory_workload import Workload, workload_of
from trainer.model_shapes import ModelShapes
from trainer.offload_shares import settled

Missing = Literal["vram", "ram", "disk"]
_PARTS_SAID = 3  # of what a disk is to hold, the largest
# Which phase of a run (events.py) the plan's phases belong to. At the end the model is still there,
# as while saving; a download comes before anything of the job is in memory.
RUN_PHASES: dict[str, tuple[PhaseName, ...]] = {
    "encode": ("encode_pictures", "encode_texts"),
    "load": ("load",),
    "train": ("train",),
    "validate": ("train",),
    "sample": ("sample",),
    "save": ("save",),
    "finish": ("save",),
}


@dataclass(frozen=True)
class Shortfall:
    """Something that does not fit. phase: of memory. folder, path: of the disk that is too small,
    the folder that takes the most of it. label: the phase, or what is to be written there.
    """

    missing: Missing
    needed_bytes: int
    available_bytes: int
    phase: PhaseName | None = None
    label: str = ""
    folder: Folder | None = None
    path: str | None = None


@dataclass(frozen=True)
class Cure:
    """Changes that are made together, and what the changed job takes at most. phase_bytes: in the
    phases that somebody asked about.
    """

    changes: tuple[Change, ...]
    vram_bytes: int
    ram_bytes: int
    fits: bool
    phase_bytes: int | None = None

    @property
    def settings(self) -> dict[str, object]:
        """All changed settings by dotted path."""
        return {path: value for change in self.changes for path, value in change.settings.items()}

    @property
    def label(self) -> str:
        return "; ".join(change.label for change in self.changes)


@dataclass(frozen=True)
class Judged:
    """job: with auto offloading settled. disk_cures: each of them makes it fit the disk."""

    job: JobConfig
    plan: MemoryPlan
    disk: tuple[DiskPart, ...]
    shortfalls: tuple[Shortfall, ...]
    cures: tuple[Cure, ...] = field(default=())
    disk_cures: tuple[Cure, ...] = field(default=())

    @property
    def fits(self) -> bool:
        """In memory."""
        return all(short.missing == "disk" for short in self.shortfalls)

    @property
    def fits_the_disk(self) -> bool:
        """Whether there is room for what is still to be written."""
        return all(short.missing != "disk" for short in self.shortfalls)


def judge(
    job: JobConfig,
    shapes: ModelShapes,
    indexes: Sequence[DatasetIndex],
    machine: Machine,
    *,
    has_to_download: bool = False,
    repository: str = "",
) -> Judged:
    """The job's plan on the machine, and the verdict. repository: see `disk_room.shortages`."""
    tried = _Trial(shapes, indexes, machine, has_to_download, repository)
    now = tried.judged(job)
    return replace(
        now,
        cures=() if now.fits else tuple(tried.cures(job)),
        disk_cures=() if now.fits_the_disk else tuple(tried.disk_cures(job)),
    )


def fits(
    job: JobConfig, shapes: ModelShapes, indexes: Sequence[DatasetIndex], machine: Machine
) -> bool:
    """Whether the job's plan fits the machine; its disks are not looked at, nor cures sought."""
    tried = _Trial(shapes, indexes, replace(machine, places={}), has_to_download=False)
    return tried.judged(job).fits


@dataclass(frozen=True)
class Helping:
    """What lowers the peak of a phase that ran out of memory. peak_bytes: as the job is, planned;
    cures: each with what is then left of it (`phase_bytes`), in the order in which to try them.
    """

    peak_bytes: int
    cures: tuple[Cure, ...]


def helping_changes(
    job: JobConfig,
    shapes: ModelShapes,
    indexes: Sequence[DatasetIndex],
    machine: Machine,
    phases: Sequence[PhaseName],
    *,
    place: Literal["vram", "ram"] | None = None,
) -> Helping:
    """Every single change that lowers the peak of the phases. That the plan lets the job in is no
    reason to offer less: its memory did run out.

    place: where memory ran out; None: on the card if there is one.
    """
    tried = _Trial(shapes, indexes, machine, has_to_download=False)
    place = place or ("vram" if machine.on_gpu else "ram")
    now = tried.peak(job, phases, place)
    found: list[Cure] = []
    back = tried.back_to_the_card(job)
    changes = [change for change in tried.changes(job) if change not in back]
    ordered = in_order_of_trying(job, [*changes, *tried.larger_shares(job)])
    # Where RAM ran out and the card has room, they cost nothing.
    for change in [*back, *ordered]:
        then = tried.peak(change.applied(job), phases, place)
        if then < now:
            found.append(replace(tried.cure(job, (change,)), phase_bytes=then))
    return Helping(now, tuple(found))


class _Trial:
    """Plans variants of a job on one machine."""

    def __init__(
        self,
        shapes: ModelShapes,
        indexes: Sequence[DatasetIndex],
        machine: Machine,
        has_to_download: bool,
        repository: str = "",
    ) -> None:
        self._shapes, self._indexes, self._machine = shapes, indexes, machine
        self._has_to_download = has_to_download
        self._repository = repository
        self._bytes_in = cache(folder_bytes)
        self._workloads: dict[str, Workload] = {}

    def changes(self, job: JobConfig) -> list[Change]:
        return list(changes_of(job, self._shapes, self._workload(job), self._machine))

    def larger_shares(self, job: JobConfig) -> list[Change]:
        """Beyond those that the plan asks for."""
        if not self._machine.on_gpu:
            return []
        asked = self._of_offloading(larger_shares_that_fit, job)
        streamed = self._settled(asked[0].applied(job) if asked else job)
        return list(larger_shares(job, streamed=streamed))

    def back_to_the_card(self, job: JobConfig) -> list[Change]:
        """Those that take less RAM and more of the card."""
        return self._of_offloading(changes_back_to_the_card, job)

    def _of_offloading(
        self, changes: Callable[..., Iterator[Change]], job: JobConfig
    ) -> list[Change]:
        vram_bytes = self._machine.vram_bytes
        if vram_bytes is None:
            return []
        return list(changes(job, self._shapes, self._workload(job), vram_bytes))

    def judged(self, job: JobConfig) -> Judged:
        on_gpu, workload = self._machine.on_gpu, self._workload(job)
        job = self._settled(job)
        plan = plan_memory(job, self._shapes, workload, on_gpu=on_gpu)
        disk = plan_disk(job, self._shapes, workload, has_to_download=self._has_to_download)
        short = (*_of_memory(plan, self._machine), *self._of_the_disk(job, disk))
        return Judged(job, plan, disk, short)

    def _of_the_disk(self, job: JobConfig, disk: tuple[DiskPart, ...]) -> Iterator[Shortfall]:
        found = shortages(
            job,
            disk,
            self._machine.places,
            repository=self._repository,
            bytes_in=self._bytes_in,
        )
        for short in found:
            yield Shortfall(
                "disk",
                short.needed_bytes,
                short.place.free_bytes,
                label=", ".join(part.label for part in short.parts[:_PARTS_SAID]),
                folder=short.folder,
                path=str(short.place.path),
            )

    def peak(
        self, job: JobConfig, phases: Sequence[PhaseName], place: Literal["vram", "ram"]
    ) -> int:
        """Of the phases there are, on the card or in RAM."""
        chosen = [phase for phase in self.judged(job).plan.phases if phase.phase in phases]
        sizes = [phase.vram_bytes if place == "vram" else phase.ram_bytes for phase in chosen]
        return max(sizes, default=0)

    def cure(self, job: JobConfig, changes: Sequence[Change]) -> Cure:
        for change in changes:
            job = change.applied(job)
        judged = self.judged(job)
        return Cure(
            tuple(changes),
            judged.plan.largest_vram.vram_bytes,
            judged.plan.largest_ram.ram_bytes,
            fits=not _memory_shortfalls(judged),
        )

    def cures(self, job: JobConfig) -> Iterator[Cure]:
        """Single changes that fit; else the shortest list of changes that does, if there is one."""
        singles = [cure for change in self.changes(job) if (cure := self.cure(job, (change,))).fits]
        if singles:
            yield from singles
            return
        chosen = self._added_up(job)
        if chosen is not None:
            yield self.cure(job, chosen)

    def disk_cures(self, job: JobConfig) -> Iterator[Cure]:
        """Single changes that make room enough; all of them together if none does alone."""
        changes = list(disk_changes(job))
        singles = [c for c in changes if self.judged(c.applied(job)).fits_the_disk]
        if singles:
            # Of one setting only the mildest value: the changes come in that order.
            first = {tuple(change.settings): change for change in reversed(singles)}
            yield from (self.cure(job, (change,)) for change in singles if change in first.values())
            return
        last = _last_of_each(changes)
        changed = job
        for change in last:
            changed = change.applied(changed)
        if last and self.judged(changed).fits_the_disk:
            yield self.cure(job, last)

    def _added_up(self, job: JobConfig) -> list[Change] | None:
        chosen: list[Change] = []
        changed = job
        while (lacking := self._lacking(changed)) > 0:
            for change in self.changes(changed):
                if self._lacking(change.applied(changed)) < lacking:
                    chosen.append(change)
                    changed = change.applied(changed)
                    break
            else:
                return None
        chosen = _last_of_each(chosen)
        for change in [*chosen]:
            fewer = [other for other in chosen if other is not change]
            if self.cure(job, fewer).fits:
                chosen = fewer
        return chosen

    def _settled(self, job: JobConfig) -> JobConfig:
        return settled(job, self._shapes, self._workload(job), self._machine.vram_bytes)

    def _workload(self, job: JobConfig) -> Workload:
        """Few changes change it, and thousands of pictures take their time."""
        key = job.model_dump_json(include={"datasets", "sample", "training"})
        if key not in self._workloads:
            self._workloads[key] = workload_of(job, self._indexes, on_gpu=self._machine.on_gpu)
        return self._workloads[key]

    def _lacking(self, job: JobConfig) -> int:
        short = _memory_shortfalls(self.judged(job))
        return sum(one.needed_bytes - one.available_bytes for one in short)


def _last_of_each(changes: Sequence[Change]) -> list[Change]:
    """Of changes to the same settings, the last: 1024 px to 896 and then to 768 is one to 768."""
    kept = {frozenset(change.settings): change for change in changes}
    return list(kept.values())


def _memory_shortfalls(judged: Judged) -> list[Shortfall]:
    return [short for short in judged.shortfalls if short.missing != "disk"]


def _of_memory(plan: MemoryPlan, machine: Machine) -> Iterator[Shortfall]:
    """Every phase that takes more than there is, in the order of the run."""
    for phase in plan.phases:
        vram = machine.vram_bytes
        if vram is not None and phase.vram_bytes > vram:
            yield Shortfall("vram", phase.vram_bytes, vram, phase.phase, phase.label)
        if phase.ram_bytes > machine.ram_bytes:
            yield Shortfall("ram", phase.ram_bytes, machine.ram_bytes, phase.phase, phase.label)
