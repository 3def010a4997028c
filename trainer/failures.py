"""Which of our errors an exception from below is: out of memory, disk full, nothing compiled."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import torch
from safetensors import SafetensorError

from trainer.errors import DarkroomError, DiskFull, JobRefused, OutOfMemory

_LOST_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN}
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV}
# safetensors and the CPU allocator report these as text only.
_DISK_WORDS = ("no space left on device", "disk quota exceeded", "read-only file system")
# Whose exceptions mean that a block could not be compiled, whichever class they are.
_COMPILER_MODULES = ("torch._dynamo", "torch._inductor", "triton")
_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory")


def named_failure(error: BaseException) -> DarkroomError | None:
    """The error to tell the person, for a failure with a name; None for a mistake of our own."""
    if isinstance(error, DarkroomError):
        return error
    text = str(error).lower()
    on_device = isinstance(error, torch.OutOfMemoryError)
    on_host = isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)
    )
    if on_device or on_host:
        return OutOfMemory(
            f"The {'GPU' if on_device else 'machine'} ran out of memory: {_first_line(error)}",
            "In this order: lower Resolutions, turn Gradient Checkpointing on, lower Batch Size "
            "and raise Gradient Accumulation, choose float8 under Quantization, turn off "
            "Differential Output Preservation.",
            params={"device": "gpu" if on_device else "host"},
        )
    if type(error).__module__.startswith(_COMPILER_MODULES):
        return JobRefused(
            f"The transformer's blocks cannot be compiled on this machine: {_first_line(error)}",
            "Turn Compile (Advanced) off; training then computes the same, uncompiled.",
            code="compile_failed",
            field="advanced.compile",
        )
    full = isinstance(error, OSError) and error.errno in _DISK_ERRORS
    if full or (
        isinstance(error, OSError | SafetensorError) and any(word in text for word in _DISK_WORDS)
    ):
        return DiskFull(
            f"Nothing can be written any more: {_first_line(error)}",
            "Free space on the disk of the output folder and the caches, and start the job again: "
            "it goes on from its last checkpoint.",
        )
    if isinstance(error, OSError) and error.errno in _LOST_ERRORS and _folder_is_gone(error):
        return DiskFull(
            f"The folder of {error.filename} went away while the run used it.",
            "Bring its disk or network share back, and start the job again: it goes on from its "
            "last checkpoint.",
            code="folder_lost",
            params={"file": str(error.filename)},
        )
    return None


def _folder_is_gone(error: OSError) -> bool:
    """A file that is missing in a folder that is there has a name of its own, or is our mistake."""
    return bool(error.filename) and not Path(os.fsdecode(error.filename)).parent.is_dir()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
