"""Which of our errors an exception from below is: out of memory, disk full, nothing compiled."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError

from trainer.disk_places import OUT_OF_SPACE
from trainer.errors import DarkroomError, DiskFull, JobRefused, OutOfMemory
from trainer.peak_memory import peak_resident_bytes

_LOST_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN}
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV}
# safetensors and the CPU allocator report these as text only.
_OUT_OF_SPACE_WORDS = ("no space left on device", "disk quota exceeded")
_DISK_WORDS = (*_OUT_OF_SPACE_WORDS, "read-only file system")
# Whose exceptions mean that a block could not be compiled, whichever class they are.
_COMPILER_MODULES = ("torch._dynamo", "torch._inductor", "triton")
_HOST_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory")
# What CUDA and its libraries say when it is not torch's allocator that asked.
_DEVICE_MEMORY_WORDS = ("cuda error: out of memory", "status_alloc_failed", "cuda out of memory")


def named_failure(error: BaseException) -> DarkroomError | None:
    """The error to tell the person, for a failure with a name; None for a mistake of our own."""
    for cause in _with_causes(error):
        device = _out_of_memory_on(cause)
        if device is not None:
            return _out_of_memory(cause, device)
    if isinstance(error, DarkroomError):
        return error
    text = str(error).lower()
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


def let_go_of_frames(error: BaseException) -> None:
    """Empty the frames that an exception and those behind it came through, and give back the
    memory of what they held. The lines that a traceback names stay.
    """
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def is_out_of_space(error: BaseException) -> bool:
    """Whether a write failed because the disk, or a quota on it, is full."""
    if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
        return True
    text = str(error).lower()
    return isinstance(error, OSError | SafetensorError) and any(
        words in text for words in _OUT_OF_SPACE_WORDS
    )


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised from: a loader that runs out of memory in the middle
    of a file calls the file unreadable.
    """
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _out_of_memory_on(error: BaseException) -> Literal["gpu", "host"] | None:
    """Where memory ran out, if this says that it did."""
    text = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _DEVICE_MEMORY_WORDS)
    ):
        return "gpu"
    if (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (
            isinstance(error, RuntimeError | SafetensorError)
            and any(words in text for words in _HOST_MEMORY_WORDS)
        )
    ):
        return "host"
    return None


def _out_of_memory(error: BaseException, device: Literal["gpu", "host"]) -> OutOfMemory:
    return OutOfMemory(
        f"The {'GPU' if device == 'gpu' else 'machine'} ran out of memory: {_first_line(error)}",
        "Turn Gradient Checkpointing and Low VRAM on, lower Batch Size and raise Gradient "
        "Accumulation, choose fewer bits under Quantization, or lower Resolutions.",
        params={"device": device, "peak_bytes": measured_peak_bytes(device)},
    )


def measured_peak_bytes(device: Literal["gpu", "host"]) -> int:
    """The most that this process has held so far: tensors on the card, or resident memory."""
    if device == "gpu":
        return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
    return peak_resident_bytes()


def _folder_is_gone(error: OSError) -> bool:
    """A file that is missing in a folder that is there has a name of its own, or is our mistake."""
    return bool(error.filename) and not Path(os.fsdecode(error.filename)).parent.is_dir()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
