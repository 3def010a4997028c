"""Weights that make way and come back, in the same type, at the same value."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from optimum.quanto import WeightQBytesTensor

from tests.trainer.block_stacks import block_stack, moving_lora
from tests.trainer.test_offloading import predict
from trainer import aside
from trainer.aside import StrandedWeights, set_aside
from trainer.block_memory import manage_blocks, transformer_blocks
from trainer.errors import OutOfMemory
from trainer.failures import named_failure
from trainer.model_loading import BLOCK_LISTS
from trainer.offloading import BlockWeights, frozen_linears
from trainer.quantization import quantize_linears
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind
from trainer.quantized_linear import raw_tensors


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
@pytest.mark.parametrize("streamed", [(), (1, 4)], ids=["resident", "streamed"])
def test_the_model_computes_the_same_after_it_made_way(
    kind: QuantizationKind, streamed: tuple[int, ...]
) -> None:
    transformer = block_stack()
    quantize_linears(transformer, inside=BLOCK_LISTS, kind=kind)
    moving_lora(transformer)
    stream = manage_blocks(
        transformer, streamed=streamed, checkpointing=True, keeper=None, device="cpu"
    )
    with torch.no_grad():
        before = predict(transformer)
        with set_aside(transformer, transformer_blocks(transformer), stream):
            pass
        assert torch.equal(predict(transformer), before)


@pytest.mark.usefixtures("no_chosen_kernel")
def test_nothing_of_the_frozen_weights_stays_where_it_was() -> None:
    transformer = block_stack()
    quantize_linears(transformer, inside=BLOCK_LISTS)
    lora = moving_lora(transformer)
    trained = {name: p.data_ptr() for name, p in lora.parameters.items()}
    there = [
        weakref.ref(tensor.untyped_storage())
        for layer in frozen_linears(transformer)
        for tensor in raw_tensors(layer).values()
    ]
    addresses = {ref().data_ptr() for ref in there}  # type: ignore[union-attr]
    with set_aside(transformer, transformer_blocks(transformer), None):
        gc.collect()
        assert not [ref for ref in there if ref() is not None]
    assert len(addresses) > 28
    assert {name: p.data_ptr() for name, p in lora.parameters.items()} == trained
    # quanto's plain class, not the one whose kernel is compiled at its first use.
    block = transformer_blocks(transformer)[0]
    assert {type(layer.weight.data) for layer in frozen_linears(block)} == {WeightQBytesTensor}


def test_a_lora_that_is_switched_off_stays_where_it_is() -> None:
    transformer = block_stack()
    lora = moving_lora(transformer)
    with (
        lora.off(),
        torch.no_grad(),
        set_aside(transformer, transformer_blocks(transformer), None),
    ):
        pass
    in_the_model = {id(parameter) for parameter in transformer.parameters()}
    assert all(id(parameter) in in_the_model for parameter in lora.parameters.values())


def test_a_failure_inside_brings_the_weights_back() -> None:
    transformer = block_stack()
    with torch.no_grad():
        before = predict(transformer)
        with (
            pytest.raises(MemoryError),
            set_aside(transformer, transformer_blocks(transformer), None),
        ):
            raise MemoryError
        assert torch.equal(predict(transformer), before)


def test_what_failed_inside_is_let_go_before_the_weights_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features: list[weakref.ref[torch.Tensor]] = []
    were_there: list[bool] = []

    class Watched(BlockWeights):
        def point_at(self, flat: torch.Tensor) -> None:
            super().point_at(flat)
            were_there.extend(ref() is not None for ref in features)

    def decode() -> None:
        feature = torch.ones(8)
        features.append(weakref.ref(feature))
        raise MemoryError

    def decode_again() -> None:
        try:
            decode()
        except MemoryError as error:
            raise RuntimeError("no picture") from error

    monkeypatch.setattr(aside, "BlockWeights", Watched)
    transformer = block_stack()
    with (
        pytest.raises(RuntimeError, match="no picture") as raised,
        set_aside(transformer, transformer_blocks(transformer), None),
    ):
        decode_again()
    assert were_there
    assert not any(were_there)
    # What a log shows of it is there still.
    assert "decode_again" in [entry.name for entry in raised.traceback]


def test_weights_that_do_not_come_back_are_an_error_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aside, "BlockWeights", Stuck)
    transformer = block_stack()
    with (
        pytest.raises(StrandedWeights) as raised,
        set_aside(transformer, transformer_blocks(transformer), None),
    ):
        raise ValueError("a picture failed")
    assert isinstance(named_failure(raised.value), OutOfMemory)


class Stuck(BlockWeights):
    """Leaves, and finds the card full when it wants to come back."""

    def __init__(self, layers, *, pin):
        self._has_left = False
        super().__init__(layers, pin=pin)
        self._has_left = True

    def point_at(self, flat):
        if self._has_left:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        super().point_at(flat)


def test_a_host_without_room_for_all_blocks_leaves_none_of_them_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came_back: list[BlockWeights] = []

    class Crowded(BlockWeights):
        num_left = 0

        def __init__(self, layers, *, pin):
            if Crowded.num_left == 3:
                raise MemoryError
            super().__init__(layers, pin=pin)
            Crowded.num_left += 1

        def point_at(self, flat):
            super().point_at(flat)
            if Crowded.num_left == 3:
                came_back.append(self)

    monkeypatch.setattr(aside, "BlockWeights", Crowded)
    transformer = block_stack()
    with (
        pytest.raises(MemoryError),
        set_aside(transformer, transformer_blocks(transformer), None),
    ):
        pytest.fail("it did not make way")
    assert len(came_back) == 3
