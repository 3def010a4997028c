"""A real Flux2Transformer2DModel with enough blocks to stream, and steps to compare it by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from diffusers import Flux2Transformer2DModel

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.test_training_step import OBJECTIVE, samples
from trainer.batches import Batch
from trainer.block_memory import manage_blocks
from trainer.host_keeper import HostKeeper
from trainer.lora import Lora, add_lora
from trainer.offloading import BlockStream
from trainer.training_step import Objective, StepResult, training_step

NUM_DOUBLE, NUM_SINGLE = 2, 4
NUM_BLOCKS = NUM_DOUBLE + NUM_SINGLE
PRESERVING = replace(OBJECTIVE, preservation_multiplier=1.0)


def block_stack(dtype: torch.dtype = torch.float32) -> Flux2Transformer2DModel:
    """2 double and 4 single blocks, hidden 64, so that every kind of quantization fits."""
    return mini_transformer(dtype, num_double=NUM_DOUBLE, num_single=NUM_SINGLE, num_heads=4)


def moving_lora(transformer: Flux2Transformer2DModel, *, dropout: float = 0.0) -> Lora:
    """A LoRA that changes the model from the start: B is not zero."""
    lora = add_lora(transformer, rank=2, alpha=1.0, seed=1, dropout=dropout)
    draw = torch.Generator().manual_seed(2)
    for name, parameter in lora.parameters.items():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
    return lora


@dataclass
class Trained:
    """Step results, and the LoRA after them."""

    results: list[StepResult]
    lora: dict[str, torch.Tensor]
    stream: BlockStream | None = None

    def assert_equals(self, other: Trained) -> None:
        """To the bit: losses, gradient norms, parameters."""
        assert all(result.is_finite for result in self.results)
        assert self.results == other.results
        assert self.lora.keys() == other.lora.keys()
        for name, value in self.lora.items():
            assert torch.equal(value, other.lora[name]), name


def train(
    transformer: Flux2Transformer2DModel,
    *,
    streamed: Collection[int] = (),
    checkpointing: bool = True,
    keeper: HostKeeper | None = None,
    objective: Objective = PRESERVING,
    batches: list[Batch] | None = None,
    num_steps: int = 2,
    dropout: float = 0.0,
) -> Trained:
    """Steps of SGD, large enough that a wrong gradient shows in the next loss."""
    lora = moving_lora(transformer, dropout=dropout)
    stream = manage_blocks(
        transformer, streamed=streamed, checkpointing=checkpointing, keeper=keeper, device="cpu"
    )
    optimizer = torch.optim.SGD(list(lora.parameters.values()), lr=0.1)
    results = [
        training_step(
            transformer,
            lora,
            optimizer,
            batches or [samples(2, has_class=[True, True])],
            step=step,
            objective=objective,
            max_gradient_norm=1.0,
        )
        for step in range(num_steps)
    ]
    return Trained(results, {n: p.detach().clone() for n, p in lora.parameters.items()}, stream)
