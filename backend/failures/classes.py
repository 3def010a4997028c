"""What kind of failure it is, and its likely cause: rules of thumb, worded as such."""

from __future__ import annotations

import signal
from enum import StrEnum

from trainer import errors


class FailureClass(StrEnum):
    """Which kind of failure; what can be done about it follows from this."""

    OUT_OF_MEMORY = "out_of_memory"
    NON_FINITE = "non_finite"
    DISK_FULL = "disk_full"
    GATED_MODEL = "gated_model"
    OFFLINE = "offline"
    BAD_DATASET = "bad_dataset"
    BAD_MODEL = "bad_model"
    BAD_CHECKPOINT = "bad_checkpoint"
    BAD_LORA = "bad_lora"
    BAD_JOB = "bad_job"
    ENCODING_FAILED = "encoding_failed"
    FOLDER_IN_USE = "folder_in_use"
    LOST_PROCESS = "lost_process"
    CRASH = "crash"


# Codes that say more than the exit code, by which a refused job is a bad job whatever is wrong.
_BY_CODE = {
    errors.OutOfMemory.code: FailureClass.OUT_OF_MEMORY,  # also of a trainer that was killed for it
    "checkpoints_gone": FailureClass.BAD_CHECKPOINT,  # of a trainer that was not started
    "disk_too_small": FailureClass.DISK_FULL,
    "model_disk_too_small": FailureClass.DISK_FULL,
    "folder_lost": FailureClass.DISK_FULL,
    "model_needs_token": FailureClass.GATED_MODEL,
    "model_token_wrong": FailureClass.GATED_MODEL,
    "model_licence_not_accepted": FailureClass.GATED_MODEL,
    "model_offline": FailureClass.OFFLINE,
    "lost_process": FailureClass.LOST_PROCESS,
    # Also of a trainer that could not even be started, and has no exit code.
    errors.DiskFull.code: FailureClass.DISK_FULL,
    errors.JobRefused.code: FailureClass.BAD_JOB,
    "launch_failed": FailureClass.CRASH,
    "crash": FailureClass.CRASH,
}
_BY_EXIT_CODE = {
    errors.JobRefused.exit_code: FailureClass.BAD_JOB,
    errors.BadDataset.exit_code: FailureClass.BAD_DATASET,
    errors.BadModel.exit_code: FailureClass.BAD_MODEL,
    errors.FolderInUse.exit_code: FailureClass.FOLDER_IN_USE,
    errors.BadCheckpoint.exit_code: FailureClass.BAD_CHECKPOINT,
    errors.NonFinite.exit_code: FailureClass.NON_FINITE,
    errors.OutOfMemory.exit_code: FailureClass.OUT_OF_MEMORY,
    errors.DiskFull.exit_code: FailureClass.DISK_FULL,
    errors.ChildFailed.exit_code: FailureClass.ENCODING_FAILED,
    errors.BadLora.exit_code: FailureClass.BAD_LORA,
}
_CAUSES = {
    FailureClass.OUT_OF_MEMORY: "The job takes more memory than there is, or another program held "
    "a part of it.",
    FailureClass.NON_FINITE: "The learning rate is too high for this job, or a picture or caption "
    "is out of the ordinary.",
    FailureClass.DISK_FULL: "The disk of the output or the cache folder is full, or went away.",
    FailureClass.GATED_MODEL: "The hub hands this model out to accounts that accepted its licence.",
    FailureClass.OFFLINE: "The hub could not be reached, and the model is not on this machine "
    "whole.",
    FailureClass.BAD_DATASET: "Files of the dataset cannot be used, or were changed since the job "
    "was queued.",
    FailureClass.BAD_MODEL: "The model's files are missing, damaged or of another kind.",
    FailureClass.BAD_CHECKPOINT: "The checkpoint is damaged, does not belong to this job any "
    "more, or its disk or folder went away.",
    FailureClass.BAD_LORA: "The LoRA that it starts from is missing, damaged or for another model.",
    FailureClass.BAD_JOB: "Something on this machine, or Darkroom's version, has changed since the "
    "job was queued.",
    FailureClass.ENCODING_FAILED: "The child that encodes pictures and prompts was ended from "
    "outside, most often for lack of memory.",
    FailureClass.FOLDER_IN_USE: "Another trainer, perhaps started by hand, writes to the same "
    "folder.",
    FailureClass.LOST_PROCESS: "The machine restarted or lost power, or the trainer was ended "
    "while no worker ran, or in a way that the worker could not see.",
    FailureClass.CRASH: "A fault of the trainer or of a library that it uses; the last lines say "
    "where.",
}
KILLED_CAUSE = (
    "The system ended the trainer, most often because the machine's memory was full. Or somebody "
    "did."
)


def class_of(code: str, exit_code: int | None) -> FailureClass:
    """The class of a failure with this code, of a run that ended so (None if nobody saw it)."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_EXIT_CODE.get(exit_code or 0, FailureClass.CRASH)


def was_killed(kind: FailureClass, exit_code: int | None) -> bool:
    """Whether the system may have ended it for lack of memory."""
    return kind == FailureClass.CRASH and exit_code == -signal.SIGKILL


def likely_cause(kind: FailureClass, exit_code: int | None) -> str:
    """What is probably the matter."""
    return KILLED_CAUSE if was_killed(kind, exit_code) else _CAUSES[kind]


def signal_name(exit_code: int | None) -> str | None:
    """SIGKILL for -9; None for an exit that no signal brought about."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
