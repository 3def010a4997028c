"""What happens where the system locks no more host memory: slower copies, and no failed run.

CUDA is stood in for at its edge; tests/gpu asks a real one.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from trainer.host_keeper import HostKeeper
from trainer.offloading import host_bytes

OUT_OF_MEMORY = "CUDA error: out of memory"


class Cuda:
    """Refuses to lock memory, and keeps its error until a kernel is launched, as CUDA does."""

    def __init__(self) -> None:
        self.pending: int | None = None

    def cudaHostRegister(self, _address: int, _num_bytes: int, _flags: int) -> int:
        self.pending = 2
        return self.pending

    def launch(self, *_size: int, device: str) -> None:
        assert device == "cuda"
        pending, self.pending = self.pending, None
        if pending is not None:
            raise RuntimeError(OUT_OF_MEMORY)


def test_a_refusal_is_said_and_not_left_for_the_next_kernel(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = Cuda()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cuda)
    monkeypatch.setattr(torch, "ones", cuda.launch)
    with caplog.at_level(logging.WARNING):
        flat = host_bytes(1 << 20, pin=True)
    flat.fill_(7)
    assert flat.nbytes == 1 << 20
    assert "would not lock 1 MB" in caplog.text
    assert cuda.pending is None
    cuda.launch(1, device="cuda")


def refusing_to_lock(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    empty = torch.empty

    def locks_none(*args: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError(words)
        return empty(*args, **options)

    monkeypatch.setattr(torch, "empty", locks_none)


def test_inputs_wait_in_ordinary_memory_where_no_more_can_be_locked_which_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing_to_lock(monkeypatch, OUT_OF_MEMORY)
    keeper = HostKeeper()
    tensor = torch.ones(2, 3, dtype=torch.bfloat16)
    with caplog.at_level(logging.WARNING):
        places = [keeper.host_memory_for(tensor) for _ in range(3)]
    assert {(place.shape, place.dtype) for place in places} == {(tensor.shape, tensor.dtype)}
    assert caplog.text.count("would not lock") == 1


def test_what_else_goes_wrong_on_the_card_is_not_taken_for_a_lack_of_host_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing_to_lock(monkeypatch, "CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        HostKeeper().host_memory_for(torch.ones(1))
