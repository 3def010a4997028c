"""Which cures there are for which class of failure.

Each is a changed job, or the same one again. What the memory plan or the dataset check can say of
the changed job is asked before it is proposed: nothing is offered that would end the same way for a
reason that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.failures.classes import FailureClass, was_killed
from backend.failures.memory_cures import Place, disk_proposals, memory_proposals
from backend.failures.proposals import RETRY, Proposal
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.dataset_index import DatasetIndex
from trainer.errors import Severity
from trainer.folders import Folders
from trainer.machine import Machine

_EARLIER_CHECKPOINTS = 2
_LOWER_RATE = 0.5


@dataclass(frozen=True)
class Failed:
    """What is known of a failed job. checkpoints: steps, lowest first. machine: the one that it ran
    on; None while no worker has said.
    """

    kind: FailureClass
    code: str
    params: dict[str, Any]
    phase: str | None
    exit_code: int | None
    job: JobConfig
    checkpoints: Sequence[int]
    folders: Folders
    machine: Machine | None

    def indexes(self) -> list[DatasetIndex]:
        """Of its datasets, whose headers are read."""
        return examine_datasets(self.job, self.folders)[0]


def proposals_for(failed: Failed) -> list[Proposal]:
    """The cures, the best first."""
    return list(_BY_CLASS.get(failed.kind, _only_again)(failed))


def _again(failed: Failed, why: str) -> Proposal:
    title = f"Go on from step {failed.checkpoints[-1]}" if failed.checkpoints else "Start it again"
    return Proposal(RETRY, title, why)


def _only_again(failed: Failed) -> Iterator[Proposal]:
    yield _again(failed, _WHY_AGAIN.get(failed.kind, "Once the reason is gone, it can run."))


_WHY_AGAIN = {
    FailureClass.GATED_MODEL: "Once the licence is accepted and the token is set, it can run.",
    FailureClass.OFFLINE: "The download goes on where it ended, once the hub can be reached.",
    FailureClass.LOST_PROCESS: "Nothing is known against trying again.",
    FailureClass.FOLDER_IN_USE: "Once the other trainer has ended, it can run.",
}


def _out_of_memory(failed: Failed) -> Iterator[Proposal]:
    place = "vram" if failed.params.get("device") == "gpu" else "ram"
    found, fits = _of_memory(failed, failed.phase, place)
    yield from found
    if fits:
        yield _again(failed, "If another program held a part of the memory and is closed now.")


def _of_memory(failed: Failed, phase: str | None, place: Place) -> tuple[list[Proposal], bool]:
    """What the plan proposes, and whether the job fits as it is, as far as that is known."""
    if failed.machine is None:
        return [], True
    job, folders = failed.job, failed.folders
    return memory_proposals(
        job, failed.indexes(), failed.machine, folders, phase=phase, place=place
    )


def _crash(failed: Failed) -> Iterator[Proposal]:
    if was_killed(failed.kind, failed.exit_code):
        yield from _of_memory(failed, failed.phase, "ram")[0]
    yield _again(failed, "A fault that does not come again costs the steps since the last save.")


def _non_finite(failed: Failed) -> Iterator[Proposal]:
    if failed.code == "lora_not_finite" and failed.job.save.data_type == "fp16":
        yield Proposal(
            "save-data-type",
            "Save in BF16",
            "FP16 cannot hold values as large as the LoRA's.",
            {"save.data_type": "bf16"},
        )
    rate = failed.job.training.learning_rate
    lower = {"training.learning_rate": float(f"{rate * _LOWER_RATE:.3g}")}
    said = f"{lower['training.learning_rate']:g}"
    for step in (None, *_earlier(failed)[:1]):
        where = f" from step {step}" if step is not None else ""
        yield Proposal(
            "learning-rate",
            f"Lower Learning Rate to {said}{where}",
            "Half of the rate overshoots less. "
            + (
                "The newest checkpoint may lie too close to where it went wrong; what came after "
                "this one is set aside."
                if step is not None
                else "Skipped steps have changed nothing, so the newest checkpoint is good."
            ),
            lower,
            resume_from_step=step,
        )


def _disk_full(failed: Failed) -> Iterator[Proposal]:
    fits = True
    if failed.machine is not None:
        found, fits = disk_proposals(failed.job, failed.indexes(), failed.machine, failed.folders)
        yield from found
    if fits:
        yield _again(failed, "By the plan, there is room on the disk now.")


def _bad_dataset(failed: Failed) -> Iterator[Proposal]:
    if _datasets_can_be_used(failed, failed.job):
        yield _again(failed, "Its datasets can be used now.")
        return
    settings: dict[str, Any] = {
        f"datasets.{number}.bad_files": "leave_out"
        for number, dataset in enumerate(failed.job.datasets)
        if dataset.bad_files != "leave_out"
    }
    if failed.checkpoints:  # which were trained with the files that are left out now
        settings["advanced.changed_dataset"] = "go_on"
    proposal = Proposal(
        "bad-files",
        "Leave the bad files out",
        "They are named in a warning, and their pictures do not train.",
        settings,
    )
    if _datasets_can_be_used(failed, proposal.changed(failed.job)):
        yield proposal


def _datasets_can_be_used(failed: Failed, job: JobConfig) -> bool:
    _, problems = examine_datasets(job, failed.folders)
    return all(problem.severity != Severity.ERROR for problem in problems)


def _bad_checkpoint(failed: Failed) -> Iterator[Proposal]:
    if failed.code == "dataset_changed":
        yield Proposal(
            "changed-dataset",
            "Go on with the dataset as it is",
            "The order of the pictures changes from here on.",
            {"advanced.changed_dataset": "go_on"},
        )
    if failed.code == "checkpoints_gone" and failed.checkpoints:
        yield _again(failed, "Its folder is back.")
    for step in _earlier(failed):
        yield Proposal(
            f"from-step-{step}",
            f"Go on from step {step}",
            "What came after it is set aside, not deleted.",
            resume_from_step=step,
        )
    yield Proposal(
        "anew",
        "Begin anew",
        "What was trained so far is set aside, not deleted.",
        resume_from_step=0,
    )


def _bad_job(failed: Failed) -> Iterator[Proposal]:
    if failed.code == "compile_failed":
        yield Proposal(
            "compile",
            "Turn Compile off",
            "Training computes the same, uncompiled.",
            {"advanced.compile": False},
        )
    elif failed.code == "does_not_fit":
        place = "ram" if failed.params.get("missing") == "ram" else "vram"
        found, fits = _of_memory(failed, None, place)
        yield from found
        if fits:
            yield _again(failed, "By the plan, it fits the machine now.")


def _encoding_failed(failed: Failed) -> Iterator[Proposal]:
    # The child was ended from outside, most often for lack of the host's memory.
    yield from _of_memory(failed, "encode", "ram")[0]
    yield _again(failed, "What was encoded so far is kept.")


def _earlier(failed: Failed) -> list[int]:
    """Steps of the checkpoints before the newest, the latest first."""
    return list(failed.checkpoints[-2::-1][:_EARLIER_CHECKPOINTS])


_BY_CLASS: dict[FailureClass, Callable[[Failed], Iterator[Proposal]]] = {
    FailureClass.OUT_OF_MEMORY: _out_of_memory,
    FailureClass.CRASH: _crash,
    FailureClass.NON_FINITE: _non_finite,
    FailureClass.DISK_FULL: _disk_full,
    FailureClass.BAD_DATASET: _bad_dataset,
    FailureClass.BAD_CHECKPOINT: _bad_checkpoint,
    FailureClass.BAD_JOB: _bad_job,
    FailureClass.ENCODING_FAILED: _encoding_failed,
}
