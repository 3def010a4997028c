"""The LoRA on a frozen transformer: where it sits, how it starts, how it is switched off.

A LoRA adds (alpha / rank) * B(A(x)) to a linear layer, A [rank, in] and B [out, rank]. It sits on
every linear layer inside the transformer's blocks and nowhere else: the embedders and modulation
act on all tokens at once, and the final layer's modulation is stored with its halves in another
order by other programs, so a LoRA there would not survive a change of program.

Its parameters are float32 whatever the frozen model is stored in: a step of 1e-4 is below
bfloat16's resolution at most weights. PEFT casts the layer's input up and the sum back down.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import Flux2Transformer2DModel
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from trainer.model_loading import BLOCK_LISTS
from trainer.randomness import generator

ADAPTER_NAME = "default"


@dataclass(frozen=True)
class Lora:
    """A trainable LoRA.

    parameters: by Diffusers' name without prefix (`transformer_blocks.0.attn.to_q.lora_A.weight`),
    sorted; the parameters themselves, float32. layers: the linear layers that carry it.
    """

    parameters: Mapping[str, nn.Parameter]
    layers: tuple[BaseTunerLayer, ...]
    rank: int
    alpha: float

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base model within the block; backward passes belong outside it."""
        for layer in self.layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.enable_adapters(True)

    @contextmanager
    def weighted(self, factor: float) -> Iterator[None]:
        """The LoRA at `factor` times its strength within the block, backward passes included:
        a checkpointed block computes its forward pass once more when gradients pass through it.
        """
        if factor == 1:
            yield
            return
        scalings = [layer.scaling[ADAPTER_NAME] for layer in self.layers]
        for layer, scaling in zip(self.layers, scalings, strict=True):
            layer.scaling[ADAPTER_NAME] = scaling * factor
        try:
            yield
        finally:
            for layer, scaling in zip(self.layers, scalings, strict=True):
                layer.scaling[ADAPTER_NAME] = scaling

    @contextmanager
    def holding(self, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Other values in the parameters within the block (the moving average, to sample with)."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.load(values)
        try:
            yield
        finally:
            self.load(kept)

    @torch.no_grad()
    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Copy values into the parameters; the names must be the same."""
        assert values.keys() == self.parameters.keys()
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])


def add_lora(transformer: Flux2Transformer2DModel, *, rank: int, alpha: float, seed: int) -> Lora:
    """Put a LoRA on every linear layer of the blocks; the model computes as before, since B is 0.

    A is uniform in +-1/sqrt(in), PEFT's own choice, but drawn by (seed, place of the layer in the
    sorted names) on the CPU, so that the device and the order of construction do not matter.
    """
    names = block_linears(transformer)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=target_pattern(names))  # pyright: ignore[reportArgumentType]
    transformer.add_adapter(config, adapter_name=ADAPTER_NAME)

    parameters: dict[str, nn.Parameter] = {}
    layers: list[BaseTunerLayer] = []
    for index, name in enumerate(sorted(names)):
        layer = transformer.get_submodule(name)
        assert isinstance(layer, BaseTunerLayer)
        layers.append(layer)
        for part in ("lora_A", "lora_B"):
            linear = getattr(layer, part)[ADAPTER_NAME]
            linear.weight.data = linear.weight.data.float()
            parameters[f"{name}.{part}.weight"] = linear.weight
        _start(parameters[f"{name}.lora_A.weight"], seed=seed, index=index)
    return Lora(dict(sorted(parameters.items())), tuple(layers), rank=rank, alpha=alpha)


def block_linears(transformer: nn.Module) -> list[str]:
    """Full names of the linear layers inside the transformer's blocks, in the model's order."""
    prefixes = tuple(f"{blocks}." for blocks in BLOCK_LISTS)
    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(prefixes)
    ]


def target_pattern(names: list[str]) -> str:
    """The pattern, matched against whole names, that hits the given layers of any block.

    A list of suffixes would not do: "to_out" is a linear layer in single blocks and a ModuleList in
    double blocks, which PEFT refuses.
    """
    kinds = sorted({re.sub(r"\.\d+\.", ".#.", name, count=1) for name in names})
    return "|".join(re.escape(kind).replace(r"\#", r"\d+") for kind in kinds)


@torch.no_grad()
def _start(weight: nn.Parameter, *, seed: int, index: int) -> None:
    bound = 1 / math.sqrt(weight.shape[1])
    draw = torch.rand(weight.shape, generator=generator(seed, 0, "lora_init", index))
    weight.copy_((draw * 2 - 1) * bound)
