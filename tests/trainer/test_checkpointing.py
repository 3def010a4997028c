"""Blocks that are computed twice give what blocks that keep their insides give."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from tests.trainer.block_stacks import NUM_DOUBLE, block_stack, moving_lora, train
from tests.trainer.mini_transformer import JOINT_DIM
from tests.trainer.test_training_step import OBJECTIVE, samples
from trainer.block_memory import manage_blocks, transformer_blocks
from trainer.checkpointing import Itinerary, Way, checkpoint_blocks
from trainer.host_keeper import HostKeeper
from trainer.lora import add_lora
from trainer.training_step import predict_velocity


def prediction(transformer, embeds: torch.Tensor | None = None) -> torch.Tensor:
    return predict_velocity(
        transformer,
        torch.ones(1, 6, 128),
        timestep=torch.tensor([0.5]),
        embeds=torch.ones(1, 4, JOINT_DIM) if embeds is None else embeds,
        size=(2, 3),
        guidance=1.0,
    )


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_losses_and_gradients_are_those_without_checkpointing(dropout: float) -> None:
    plain = train(block_stack(), checkpointing=False, dropout=dropout)
    train(block_stack(), checkpointing=True, dropout=dropout).assert_equals(plain)


def test_gradients_are_those_of_torchs_own_checkpointing() -> None:
    theirs, ours = block_stack(), block_stack()
    gradients = []
    for transformer in (theirs, ours):
        lora = moving_lora(transformer)
        if transformer is theirs:
            transformer.enable_gradient_checkpointing()
        else:
            checkpoint_blocks(transformer, Itinerary())
        prediction(transformer).square().mean().backward()
        gradients.append({n: p.grad for n, p in lora.parameters.items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name  # type: ignore[arg-type]


def test_inputs_that_wait_on_the_host_come_back_as_they_were() -> None:
    resident = train(block_stack(), checkpointing=True)
    train(block_stack(), checkpointing=True, keeper=HostKeeper(min_bytes=0)).assert_equals(resident)


def test_inputs_leave_the_device_while_they_wait() -> None:
    transformer = block_stack()
    moving_lora(transformer)
    inputs: list[weakref.ref[torch.UntypedStorage]] = []

    class Watching(HostKeeper):
        def keep(self, tensors):
            inputs.extend(weakref.ref(tensor) for tensor in tensors if tensor.shape[-1] == 64)
            return super().keep(tensors)

    manage_blocks(
        transformer, streamed=(), checkpointing=True, keeper=Watching(min_bytes=0), device="cpu"
    )
    loss = prediction(transformer).square().mean()
    gc.collect()
    assert len(inputs) == 2 * NUM_DOUBLE + 4
    assert [ref() for ref in inputs] == [None] * len(inputs)
    loss.backward()


def test_an_input_is_called_back_before_its_block_asks_for_it() -> None:
    keeper = HostKeeper(min_bytes=0)
    first, second = (keeper.keep([torch.full((2,), value)]) for value in (1.0, 2.0))
    assert keeper.take(second)[0].tolist() == [2.0, 2.0]
    assert first.returning is not None
    assert keeper.take(first)[0].tolist() == [1.0, 1.0]
    assert first.returning is None
    assert first.hosts == second.hosts == []


def test_a_pass_whose_backward_never_comes_leaves_nothing_on_the_host() -> None:
    keeper = HostKeeper(min_bytes=0)
    abandoned = keeper.keep([torch.ones(2)])
    host = weakref.ref(abandoned.hosts[0])
    del abandoned
    gc.collect()
    assert host() is None
    kept = keeper.keep([torch.ones(2)])
    assert keeper.take(kept)[0].tolist() == [1.0, 1.0]


def test_only_large_inputs_are_worth_the_way() -> None:
    keeper = HostKeeper()
    # dev at 512 px: 1024 picture tokens and 512 of text, 6144 wide, in bf16.
    assert keeper.wants(torch.empty(1, 1536, 6144, dtype=torch.bfloat16, device="meta"))
    assert not keeper.wants(torch.empty(1, 320, 192, dtype=torch.bfloat16, device="meta"))


def test_blocks_before_the_first_that_trains_are_not_computed_again() -> None:
    transformer = block_stack()
    add_lora(
        transformer, rank=2, alpha=1.0, seed=1, layers=["single_transformer_blocks.2.attn.to_out"]
    )
    manage_blocks(transformer, streamed=(), checkpointing=True, keeper=None, device="cpu")
    calls = [0] * 6
    for place, block in enumerate(transformer_blocks(transformer)):

        def count(_block, _args, place=place):
            calls[place] += 1

        block.register_forward_pre_hook(count)
    prediction(transformer).square().mean().backward()
    assert calls == [1, 1, 1, 1, 2, 2]


def test_passes_say_which_way_they_go() -> None:
    transformer = block_stack()
    moving_lora(transformer)
    itinerary = Itinerary()
    checkpoint_blocks(transformer, itinerary)
    ways: list[Way] = []
    for block in transformer_blocks(transformer):
        block.register_forward_pre_hook(lambda *_: ways.append(itinerary.way))
    with torch.no_grad():
        prediction(transformer)
    assert ways == [Way.ONWARD] * 6
    ways.clear()
    prediction(transformer).sum().backward()
    assert ways == [Way.OUT] * 6 + [Way.BACK] * 6
    assert itinerary.way is Way.ONWARD


def test_a_block_that_fails_on_the_way_back_leaves_the_itinerary_as_it_was() -> None:
    transformer = block_stack()
    moving_lora(transformer)
    itinerary = Itinerary()
    checkpoint_blocks(transformer, itinerary)
    loss = prediction(transformer).sum()

    def fail(*_):
        raise MemoryError("no room")

    transformer_blocks(transformer)[3].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        loss.backward()
    assert itinerary.way is Way.ONWARD


def test_a_micro_batch_of_three_kinds_of_passes_is_the_same_with_checkpointing() -> None:
    # A picture of a regularization set: the base model is asked between forward and backward.
    batch = replace(samples(2), towards_base=torch.tensor([True, False]))
    plain = train(block_stack(), checkpointing=False, objective=OBJECTIVE, batches=[batch])
    train(block_stack(), objective=OBJECTIVE, batches=[batch]).assert_equals(plain)
