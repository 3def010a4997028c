"""The LoRA on a frozen transformer: where it sits, how it starts, how it is switched off.

A LoRA adds (alpha / rank) * B(A(x)) to a linear layer, A [rank, in] and B [out, rank]. It can sit
on every linear layer inside the transformer's blocks and nowhere else: the embedders and modulation
act on all tokens at once, and the final layer's modulation is stored with its halves in another
order by other programs, so a LoRA there would not survive a change of program. A LoKr (`lokr.py`)
takes the LoRA's place and is handled alike: "LoRA" below means either.

Its parameters are float32 whatever the frozen model is stored in, and compute in the model's type
(`lora_linear.py`).

Dropout draws from torch's global generator, which nothing else here uses: each pass sets it to a
function of (seed, step, pass) first. So a resumed run drops what the uninterrupted one would have
dropped, and a checkpointed block, whose second forward pass starts from the first one's generator
state, drops the same again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import Flux2Transformer2DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import nn

from trainer.lokr import ZERO_AT_START, LoKrLinear
from trainer.lora_linear import LoraLinear
from trainer.model_loading import BLOCK_LISTS
from trainer.randomness import derive_seed, generator

ADAPTER_NAME = "default"


@dataclass(frozen=True)
class Lora:
    """A trainable LoRA.

    parameters: by Diffusers' name without prefix (`transformer_blocks.0.attn.to_q.lora_A.weight`),
    sorted; the parameters themselves, float32. layers: the linear layers that carry it. scale: what
    its product is multiplied by, alpha / rank. dropouts: of its inputs, none at dropout 0.
    """

    parameters: Mapping[str, nn.Parameter]
    layers: tuple[LoraLayer | LoKrLinear, ...]
    scale: float
    dropouts: tuple[nn.Dropout, ...] = ()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Dropout on within the block, backward passes included; it is off everywhere else."""
        for dropout in self.dropouts:
            dropout.train()
        try:
            yield
        finally:
            for dropout in self.dropouts:
                dropout.eval()

    def begin_pass(self, *, seed: int, step: int, index: int) -> None:
        """Settle what the next forward pass drops; index: of the pass within the step."""
        if self.dropouts:
            torch.manual_seed(derive_seed(seed, step, "model_dropout", index))

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


def add_lora(
    transformer: Flux2Transformer2DModel,
    *,
    rank: int,
    alpha: float,
    seed: int,
    layers: Sequence[str] | None = None,
    dropout: float = 0.0,
) -> Lora:
    """Put a LoRA on linear layers of the blocks; the model computes as before, since B is 0.

    A is uniform in +-1/sqrt(in), PEFT's own choice, but drawn by (seed, place of the layer in the
    sorted names) on the CPU, so that the device and the order of construction do not matter.
    layers: names out of `block_linears`; None for all.
    """
    places = _places(transformer, layers)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]
        target_modules=target_pattern(list(places)),
        lora_dropout=dropout,
    )
    # PEFT's way to name another class of layers; every linear layer here is one of nn.Linear's.
    config._register_custom_module({nn.Linear: LoraLinear})
    transformer.add_adapter(config, adapter_name=ADAPTER_NAME)

    parameters: dict[str, nn.Parameter] = {}
    tuned: list[LoraLayer] = []
    dropouts: list[nn.Dropout] = []
    for name, place in places.items():
        layer = transformer.get_submodule(name)
        assert isinstance(layer, LoraLayer)
        tuned.append(layer)
        for part in ("lora_A", "lora_B"):
            linear = getattr(layer, part)[ADAPTER_NAME]
            linear.weight.data = linear.weight.data.float()
            parameters[f"{name}.{part}.weight"] = linear.weight
        if dropout:
            own = layer.lora_dropout[ADAPTER_NAME].eval()
            assert isinstance(own, nn.Dropout)
            dropouts.append(own)
        _start(parameters[f"{name}.lora_A.weight"], generator(seed, 0, "lora_init", place))
    return Lora(dict(sorted(parameters.items())), tuple(tuned), alpha / rank, tuple(dropouts))


def add_lokr(
    transformer: Flux2Transformer2DModel,
    *,
    rank: int | None,
    alpha: float,
    factor: int | None,
    seed: int,
    layers: Sequence[str] | None = None,
    dropout: float = 0.0,
) -> Lora:
    """Put a LoKr on linear layers of the blocks; the model computes as before.

    rank: None for second matrices that are whole, which alpha does not scale. factor: None for the
    one nearest to the square root of each size. layers, seed: as in `add_lora`.
    """
    parameters: dict[str, nn.Parameter] = {}
    tuned: list[LoKrLinear] = []
    dropouts: list[nn.Dropout] = []
    for name, place in _places(transformer, layers).items():
        base = transformer.get_submodule(name)
        assert isinstance(base, nn.Linear)
        layer = LoKrLinear(
            base, ADAPTER_NAME, rank=rank, alpha=alpha, factor=factor, dropout=dropout
        ).eval()
        parent, _, leaf = name.rpartition(".")
        setattr(transformer.get_submodule(parent), leaf, layer)
        tuned.append(layer)
        if dropout:
            dropouts.append(layer.input_dropout)
        draw = generator(seed, 0, "lora_init", place)
        for part, parameter in layer.parts(ADAPTER_NAME).items():
            parameter.data = parameter.data.float()
            parameters[f"{name}.{part}"] = parameter
            if part in ZERO_AT_START:
                nn.init.zeros_(parameter)
            else:
                _start(parameter, draw)
    scale = 1.0 if rank is None else alpha / rank
    return Lora(dict(sorted(parameters.items())), tuple(tuned), scale, tuple(dropouts))


def block_linears(transformer: nn.Module) -> list[str]:
    """Full names of the linear layers inside the transformer's blocks, in the model's order."""
    prefixes = tuple(f"{blocks}." for blocks in BLOCK_LISTS)
    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(prefixes)
    ]


def target_pattern(names: list[str]) -> str:
    """The pattern, matched against whole names, that hits the given layers.

    A list of suffixes would not do: "to_out" is a linear layer in single blocks and a ModuleList in
    double blocks, which PEFT refuses.
    """
    return "|".join(re.escape(name) for name in sorted(names))


def _places(transformer: nn.Module, layers: Sequence[str] | None) -> dict[str, int]:
    """The layers to train with their place among all that could be, both in sorted order.

    The place, not the order of the chosen, seeds a layer's start: it does not change with the
    choice.
    """
    names = sorted(block_linears(transformer))
    wanted = set(names if layers is None else layers)
    assert wanted, "no layer is to be trained"
    assert wanted <= set(names), f"the model has no {min(wanted - set(names))}"
    return {name: place for place, name in enumerate(names) if name in wanted}


@torch.no_grad()
def _start(weight: nn.Parameter, draw: torch.Generator) -> None:
    bound = 1 / math.sqrt(weight.shape[1])
    weight.copy_((torch.rand(weight.shape, generator=draw) * 2 - 1) * bound)
