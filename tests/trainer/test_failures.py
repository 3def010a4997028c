"""Failures from below, the real ones where they can be had, and the error each becomes."""

from __future__ import annotations

import errno
import mmap
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from trainer.errors import BadModel, DiskFull, JobRefused, OutOfMemory
from trainer.failures import named_failure

FULL = Path("/dev/full")  # a device that is always out of space
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, which Linux has")


@needs_full
def test_a_full_disk_has_a_name_when_python_writes() -> None:
    with pytest.raises(OSError) as raised:
        FULL.write_bytes(b"x")
    assert isinstance(named_failure(raised.value), DiskFull)


def test_a_full_disk_has_a_name_when_safetensors_writes() -> None:
    # Its errors carry no number, only the system's sentence.
    error = SafetensorError("Error while serializing: I/O error: No space left on device (28)")
    assert isinstance(named_failure(error), DiskFull)


def test_a_missing_file_is_no_full_disk() -> None:
    assert named_failure(FileNotFoundError(errno.ENOENT, "No such file")) is None


def test_a_folder_that_went_away_has_a_name_and_a_missing_file_in_one_has_none(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "gone" / "file").read_bytes()
    failure = named_failure(raised.value)
    assert isinstance(failure, DiskFull)
    assert failure.problems[0].code == "folder_lost"
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "file").read_bytes()
    assert named_failure(raised.value) is None


def test_memory_that_the_host_cannot_give_has_a_name() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    failure = named_failure(raised.value)
    assert isinstance(failure, OutOfMemory)
    assert failure.problems[0].params["device"] == "host"


def test_an_out_of_memory_failure_says_what_was_measured() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    failure = named_failure(raised.value)
    assert failure is not None
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert failure.problems[0].params["peak_bytes"] >= resident / 2


def test_a_file_that_cannot_be_read_for_lack_of_memory_is_no_damaged_file() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    unreadable = BadModel("it cannot be read")
    unreadable.__cause__ = raised.value
    assert isinstance(named_failure(unreadable), OutOfMemory)


def test_a_mapping_that_the_system_refuses_is_lack_of_memory(tmp_path: Path) -> None:
    """What mmap says in a process that may have no more address space."""
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 39, before[1]))
    try:
        with file.open("rb") as opened, pytest.raises(OSError) as raised:
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert isinstance(named_failure(raised.value), OutOfMemory)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_memory_that_cuda_itself_cannot_get_has_a_name(said: str) -> None:
    failure = named_failure(RuntimeError(said))
    assert isinstance(failure, OutOfMemory)
    assert failure.problems[0].params["device"] == "gpu"


def test_memory_that_the_card_cannot_give_has_a_name() -> None:
    failure = named_failure(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert isinstance(failure, OutOfMemory)
    assert failure.problems[0].params["device"] == "gpu"


def test_a_block_that_cannot_be_compiled_has_a_name() -> None:
    def no_compiler(_graph: object, _inputs: object) -> None:
        raise RuntimeError("no kernel for this card")

    # A real failure of torch.compile: its back end gives up.
    with pytest.raises(Exception, match="no kernel") as raised:
        torch.compile(lambda x: x + 1, backend=no_compiler)(torch.ones(2))
    failure = named_failure(raised.value)
    assert isinstance(failure, JobRefused)
    assert failure.code == "compile_failed"
    assert failure.problems[0].field == "advanced.compile"


def test_our_own_errors_keep_their_name_and_mistakes_have_none() -> None:
    own = BadModel("x")
    assert named_failure(own) is own
    assert named_failure(KeyError("x")) is None
    assert named_failure(RuntimeError("shape mismatch")) is None
