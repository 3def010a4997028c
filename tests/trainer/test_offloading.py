"""Offloaded equals resident, to the bit; whoever reads a slot too late reads NaN."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import trainer.block_memory
from tests.trainer.block_stacks import NUM_BLOCKS, block_stack, moving_lora, train
from tests.trainer.mini_transformer import JOINT_DIM
from tests.trainer.poisoned_stream import PoisonedStream
from tests.trainer.test_encoder_memory import rss_anon_mib
from tests.trainer.test_training_step import OBJECTIVE, samples
from trainer.block_memory import manage_blocks, transformer_blocks
from trainer.lora import add_lokr
from trainer.model_loading import BLOCK_LISTS
from trainer.offloading import BlockStream, BlockWeights, frozen_linears, host_bytes
from trainer.quantization import quantize_linears
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind
from trainer.quantized_linear import raw_tensors
from trainer.training_step import predict_velocity

ALL = tuple(range(NUM_BLOCKS))
EVERY_OTHER = (0, 2, 4)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.block_memory, "BlockStream", PoisonedStream)


def stack(kind: QuantizationKind = "none", dtype: torch.dtype = torch.float32):
    transformer = block_stack(dtype)
    if kind != "none":
        quantize_linears(transformer, inside=BLOCK_LISTS, kind=kind)
    return transformer


def stream_of(transformer, streamed: Collection[int]) -> PoisonedStream:
    stream = manage_blocks(
        transformer, streamed=streamed, checkpointing=True, keeper=None, device="cpu"
    )
    assert isinstance(stream, PoisonedStream)
    return stream


def predict(transformer) -> torch.Tensor:
    return predict_velocity(
        transformer,
        torch.ones(1, 6, 128),
        timestep=torch.tensor([0.5]),
        embeds=torch.ones(1, 4, JOINT_DIM),
        size=(2, 3),
        guidance=1.0,
    )


# ------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize("streamed", [ALL, EVERY_OTHER, (5,), (0, 1)], ids=str)
def test_losses_and_gradients_are_those_of_the_resident_model(streamed: Collection[int]) -> None:
    offloaded = train(stack(), streamed=streamed)
    assert offloaded.stream is not None
    assert offloaded.stream.streamed == tuple(streamed)
    offloaded.assert_equals(train(stack()))


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
def test_every_kind_of_quantization_streams(kind: QuantizationKind) -> None:
    train(stack(kind), streamed=ALL).assert_equals(train(stack(kind)))


@pytest.mark.parametrize("streamed", [ALL, EVERY_OTHER], ids=str)
def test_blocks_that_stay_may_keep_their_insides(streamed: Collection[int]) -> None:
    resident = train(stack(), checkpointing=False)
    train(stack(), streamed=streamed, checkpointing=False).assert_equals(resident)


def test_a_base_pass_between_forward_and_backward_disturbs_nothing() -> None:
    batch = replace(samples(2), towards_base=torch.tensor([True, False]))
    resident = train(stack(), objective=OBJECTIVE, batches=[batch])
    train(stack(), objective=OBJECTIVE, batches=[batch], streamed=ALL).assert_equals(resident)


def test_slots_are_overwritten_where_they_are_in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.block_memory, "BlockStream", BlockStream)
    train(stack(), streamed=ALL).assert_equals(train(stack()))


def test_a_lokr_trains_beside_streamed_weights() -> None:
    losses = []
    for streamed in ((), ALL):
        transformer = stack()
        lora = add_lokr(transformer, rank=2, alpha=2.0, factor=None, seed=1)
        manage_blocks(transformer, streamed=streamed, checkpointing=True, keeper=None, device="cpu")
        for parameter in lora.parameters.values():
            parameter.data += 0.05
        predict(transformer).square().mean().backward()
        losses.append([p.grad for p in lora.parameters.values()])
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))


# ---------------------------------------------------------------------------------------- the ring


def test_a_step_moves_each_weight_twice_less_the_four_at_the_turnarounds() -> None:
    transformer = stack()
    moving_lora(transformer)
    stream = stream_of(transformer, ALL)
    predict(transformer).sum().backward()  # leaves blocks 1 and 0 in the slots
    stream.fetched.clear()
    stream.visited.clear()
    predict(transformer).sum().backward()
    assert stream.visited == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]
    assert stream.fetched == [2, 3, 4, 5, 3, 2, 1, 0]
    assert stream.most_in_slots == 2


def test_passes_without_gradient_follow_each_other_round() -> None:
    transformer = stack()
    stream = stream_of(transformer, ALL)
    with torch.no_grad():
        predict(transformer)
        stream.fetched.clear()
        predict(transformer)
    # Block 0 came while block 5 computed, and one is fetched at every visit after it.
    assert stream.fetched == [1, 2, 3, 4, 5, 0]


def test_blocks_that_stay_start_the_copies_of_those_ahead() -> None:
    transformer = stack()
    stream = stream_of(transformer, (1, 4, 5))
    with torch.no_grad():
        stream.visit(0)
        assert stream.fetched == [1, 4]
        stream.visit(1)
        assert stream.fetched == [1, 4]
        stream.visit(2)  # block 1 has computed: its slot is free for 5
        assert stream.fetched == [1, 4, 5]


def test_a_visit_out_of_order_fetches_what_it_needs() -> None:
    transformer = stack()
    stream = stream_of(transformer, ALL)
    with torch.no_grad():
        expected = predict(stack())
        for place in (3, 0, 5, 2):
            stream.visit(place)
        assert torch.equal(predict(transformer), expected)


def test_a_block_that_is_in_no_slot_cannot_compute() -> None:
    transformer = stack()
    stream = stream_of(transformer, ALL)
    with torch.no_grad():
        predict(transformer)
        block = transformer_blocks(transformer)[2]
        assert all(
            raw_tensors(layer)["weight"].isnan().all() for layer in frozen_linears(block)
        )  # so that a missing visit would show in everything above
    assert {slot.holds for slot in stream._slots} == {5, 0}


def test_slots_are_given_back_and_taken_anew() -> None:
    transformer = stack()
    stream = stream_of(transformer, ALL)
    with torch.no_grad():
        before = predict(transformer)
        stream.release()
        assert stream._slots == []
        assert torch.equal(predict(transformer), before)


def test_after_detaching_the_blocks_compute_from_host_memory() -> None:
    transformer = stack()
    with torch.no_grad():
        before = predict(transformer)
    stream = BlockStream(transformer_blocks(transformer), streamed=ALL, device="cpu")
    stream.detach()
    with torch.no_grad():
        assert torch.equal(predict(transformer), before)
    assert stream._slots == []


# ----------------------------------------------------------------------------------------- memory


def storages(tensors: Iterator[torch.Tensor]) -> dict[int, int]:
    """Address to size of the memory that the tensors lie in."""
    found = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
    return found


def test_the_card_holds_two_blocks_of_all_that_are_streamed() -> None:
    transformer = stack()
    blocks = transformer_blocks(transformer)
    sizes = [sum(layer.weight.nbytes for layer in frozen_linears(block)) for block in blocks]
    stream = BlockStream(blocks, streamed=ALL, device="cpu")
    assert stream.slot_bytes == 2 * max(sizes)
    assert stream.host_bytes == sum(sizes)  # these sizes need no padding
    with torch.no_grad():
        predict(transformer)
    blocks_lie_at = storages(
        raw_tensors(layer)["weight"] for block in blocks for layer in frozen_linears(block)
    )
    on_host = {weights.host.data_ptr() for weights in stream._weights.values()}
    in_slots = {slot.flat.data_ptr(): slot.flat.nbytes for slot in stream._slots}
    assert blocks_lie_at.keys() <= on_host | in_slots.keys()
    assert len(in_slots) == 2
    assert sum(in_slots.values()) == stream.slot_bytes


def test_a_block_lies_in_one_piece_and_its_tensors_begin_at_round_addresses() -> None:
    for kind in QUANTIZATION_KINDS:
        block = transformer_blocks(stack(kind))[0]
        layers = frozen_linears(block)
        before = [{n: t.clone() for n, t in raw_tensors(layer).items()} for layer in layers]
        weights = BlockWeights(layers, pin=False)
        assert len(storages(t for layer in layers for t in raw_tensors(layer).values())) == 1
        for layer, values in zip(layers, before, strict=True):
            for name, tensor in raw_tensors(layer).items():
                assert tensor.storage_offset() * tensor.element_size() % 256 == 0
                # As bytes: float8 has no comparison on a CPU.
                assert torch.equal(
                    tensor.reshape(-1).view(torch.uint8), values[name].reshape(-1).view(torch.uint8)
                )
        assert weights.num_bytes >= sum(t.nbytes for values in before for t in values.values())


def test_the_lora_and_the_norms_do_not_move() -> None:
    transformer = stack()
    lora = moving_lora(transformer)
    addresses = {name: p.data_ptr() for name, p in lora.parameters.items()}
    norms = {n: p.data_ptr() for n, p in transformer.named_parameters() if ".norm_" in n}
    stream_of(transformer, ALL)
    with torch.no_grad():
        predict(transformer)
    assert {name: p.data_ptr() for name, p in lora.parameters.items()} == addresses
    assert {n: p.data_ptr() for n, p in transformer.named_parameters() if ".norm_" in n} == norms
    assert norms


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, as on Linux")
def test_gathering_the_blocks_takes_no_second_copy_of_them() -> None:
    blocks = [torch.nn.Linear(1024, 1024).requires_grad_(False) for _ in range(40)]  # 160 MiB
    before = rss_anon_mib(os.getpid())
    stream = BlockStream(blocks, streamed=range(40), device="cpu")
    assert stream.host_bytes == 40 * 4 * 1024**2
    assert rss_anon_mib(os.getpid()) - before < 16


def test_an_empty_piece_of_host_memory_is_fine() -> None:
    assert host_bytes(0, pin=True).numel() == 0
