"""Cures for memory and disk: changes of the plan, each planned again on the machine that failed.

A change is proposed only if the plan of the changed job says that it lowers the peak of the phase
that failed, in the place (card or host) that ran out. Where the plan says that the job as it is
does not fit, what makes it fit follows: one change, or several together where none does alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from backend.failures.proposals import Proposal, sentence_case
from backend.failures.schemas import CureEffect
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.folders import Folders
from trainer.machine import Machine
from trainer.memory_check import judge_job
from trainer.memory_failure import cures_of_phase
from trainer.memory_verdict import Cure, Judged

Place = Literal["vram", "ram"]

_WHY = {
    "resolutions": "Smaller pictures take less of everything, and a LoRA serves larger ones too.",
    "gradient_checkpointing": "The blocks are computed again in the backward pass: the same "
    "results to the bit, in more time.",
    "batch_size": "Fewer pictures at once, as many for each step: the same training.",
    "low_vram": "With it on, what can wait does so in host memory, which takes a little time. The "
    "results are the same to the bit.",
    "layer_offloading": "Blocks that are streamed lie in host memory and take more time, the "
    "others lie on the card. The results are the same to the bit.",
    "attention_backend": "Another kernel for the same formula writes no matrix of tokens by "
    "tokens; the results agree within rounding.",
    "transformer": "Weights in fewer bits; the results differ a little.",
    "text_encoder": "Weights in fewer bits; prompts are read a little differently.",
    "encoding_batch_size": "One picture or prompt is encoded at a time, in the least memory.",
    "optimizer": "Its state takes a quarter of the memory.",
    "vae_data_type": "The autoencoder takes half of the memory.",
    "data_type": "The passes take half of the memory.",
    "width": "Smaller samples; training stays as it is.",
    "keep_on_disk": "The next start quantizes anew, which takes minutes, and writes nothing.",
    "max_step_saves_to_keep": "Older checkpoints go earlier; pinned ones stay.",
}


def memory_proposals(
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    machine: Machine,
    folders: Folders,
    *,
    phase: str | None,
    place: Place,
) -> tuple[list[Proposal], bool]:
    """What lowers the phase's peak, in the order of trying; then, if the job does not fit by the
    plan, what makes it fit. And whether it does.
    """
    judged = judge_job(job, indexes, machine, folders)
    found: list[Proposal] = []
    helping = cures_of_phase(job, indexes, folders, machine, phase, place=place)
    for cure in helping.cures:
        assert cure.phase_bytes is not None
        there = _there(machine, place)
        effect = CureEffect(
            place=place,
            before_bytes=helping.peak_bytes,
            after_bytes=cure.phase_bytes,
            available_bytes=there,
            fits=cure.fits,
        )
        found.append(_proposal(cure, effect))
    # The same change may make it fit and lower the phase's peak.
    known = {proposal.key for proposal in found}
    found += [fit for fit in _that_fit(judged, machine, place) if fit.key not in known]
    return found, judged.fits


def disk_proposals(
    job: JobConfig, indexes: Sequence[DatasetIndex], machine: Machine, folders: Folders
) -> tuple[list[Proposal], bool]:
    """What makes the job fit its disks, and whether it fits them as it is."""
    judged = judge_job(job, indexes, machine, folders)
    before = sum(part.num_bytes for part in judged.disk)
    free = [short.available_bytes for short in judged.shortfalls if short.missing == "disk"]
    found = []
    for cure in judged.disk_cures:
        changed = job
        for change in cure.changes:
            changed = change.applied(changed)
        then = judge_job(changed, indexes, machine, folders)
        effect = CureEffect(
            place="disk",
            before_bytes=before,
            after_bytes=sum(part.num_bytes for part in then.disk),
            available_bytes=min(free, default=None),
            fits=then.fits_the_disk,
        )
        found.append(_proposal(cure, effect))
    return found, judged.fits_the_disk


def _that_fit(judged: Judged, machine: Machine, place: Place) -> Iterator[Proposal]:
    before = _largest(judged, place)
    for cure in judged.cures:
        after = cure.vram_bytes if place == "vram" else cure.ram_bytes
        if after < before:
            effect = CureEffect(
                place=place,
                before_bytes=before,
                after_bytes=after,
                available_bytes=_there(machine, place),
                fits=cure.fits,
            )
            yield _proposal(cure, effect)


def _proposal(cure: Cure, effect: CureEffect) -> Proposal:
    names = [path.rpartition(".")[2] for path in cure.settings]
    reasons = dict.fromkeys(_WHY[name] for name in names if name in _WHY)
    return Proposal(
        name=names[0].replace("_", "-"),
        title=sentence_case(cure.label),
        why=" ".join(reasons),
        settings=cure.settings,
        effect=effect,
    )


def _largest(judged: Judged, place: Place) -> int:
    if place == "vram":
        return judged.plan.largest_vram.vram_bytes
    return judged.plan.largest_ram.ram_bytes


def _there(machine: Machine, place: Place) -> int | None:
    return machine.vram_bytes if place == "vram" else machine.ram_bytes
