"""The LoRA's product: PEFT's numbers in the model's type, and no float32 copy of an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLoraLinear
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.mini_transformer import mini_transformer
from trainer.lokr import LoKrLinear
from trainer.lora import add_lora
from trainer.lora_linear import LoraLinear
from trainer.quantization import quantized
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind

NUM_IN, NUM_OUT, RANK, TOKENS = 128, 192, 2, 60


def lora_layer(
    dtype: torch.dtype, kind: QuantizationKind = "none", cls: type[PeftLoraLinear] = LoraLinear
) -> PeftLoraLinear:
    draw = torch.Generator().manual_seed(3)
    base = nn.Linear(NUM_IN, NUM_OUT, bias=False).to(dtype).requires_grad_(False)
    base.weight.copy_(torch.randn(base.weight.shape, generator=draw) * 0.05)
    config = LoraConfig(r=RANK, lora_alpha=3)
    layer = cls(quantized(base, kind), "default", config=config, r=RANK, lora_alpha=3).eval()
    for part in (layer.lora_A, layer.lora_B):
        weight = part["default"].weight
        weight.data = torch.randn(weight.shape, generator=draw) * 0.1
    return layer


def lokr_layer(dtype: torch.dtype, kind: QuantizationKind = "none") -> LoKrLinear:
    base = nn.Linear(NUM_IN, NUM_OUT, bias=False).to(dtype).requires_grad_(False)
    layer = LoKrLinear(
        quantized(base, kind), "default", rank=1, alpha=2.0, factor=8, dropout=0.0
    ).eval()
    for parameter in layer.parts("default").values():
        parameter.data = torch.randn(parameter.shape) * 0.1
    return layer


def an_input(dtype: torch.dtype) -> torch.Tensor:
    draw = torch.Generator().manual_seed(4)
    return torch.randn(2, TOKENS // 2, NUM_IN, generator=draw).to(dtype).requires_grad_()


def test_output_and_gradients_are_those_of_pefts_layer() -> None:
    found = []
    for cls in (LoraLinear, PeftLoraLinear):
        layer, x = lora_layer(torch.float32, cls=cls), an_input(torch.float32)
        out = layer(x)
        out.square().sum().backward()
        grads = [layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad, x.grad]
        found.append([out.detach(), *grads])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


class _Made(TorchDispatchMode):
    """Notes every tensor that an operation makes while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[torch.dtype, int, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.sizes.append((tensor.dtype, tensor.numel(), str(func)))
        return out


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
@pytest.mark.parametrize("make", [lora_layer, lokr_layer])
def test_nothing_of_an_activations_size_is_float32_in_a_bfloat16_model(
    make: Callable[[torch.dtype, QuantizationKind], nn.Module], kind: QuantizationKind
) -> None:
    layer, x = make(torch.bfloat16, kind), an_input(torch.bfloat16)
    with _Made() as made:
        out = layer(x)
        assert out.dtype == torch.bfloat16
        out.backward(torch.ones_like(out))
    smallest_activation = TOKENS * min(NUM_IN, NUM_OUT)
    large = [
        (name, numel)
        for dtype, numel, name in made.sizes
        if dtype == torch.float32 and numel >= smallest_activation
    ]
    assert large == []
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    assert len(trained) >= 2
    for parameter in trained:
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32


def test_pefts_own_layer_would_not_pass_that_test() -> None:
    layer, x = lora_layer(torch.bfloat16, cls=PeftLoraLinear), an_input(torch.bfloat16)
    with _Made() as made:
        layer(x)
    assert any(dtype == torch.float32 and numel == x.numel() for dtype, numel, _name in made.sizes)


def test_what_is_too_small_for_bfloat16_is_not_lost_from_the_parameters() -> None:
    layer, x = lora_layer(torch.bfloat16), an_input(torch.bfloat16)
    weight = layer.lora_B["default"].get_parameter("weight")
    before = weight.detach().clone()
    layer(x).sum().backward()
    assert weight.grad is not None
    with torch.no_grad():
        weight -= 1e-6 * weight.grad.sign()
    assert (weight != before).all()
    assert (weight.bfloat16() != before.bfloat16()).float().mean() < 0.1


def test_every_lora_that_trains_computes_so() -> None:
    lora = add_lora(mini_transformer(torch.bfloat16), rank=2, alpha=2.0, seed=0)
    assert {type(layer) for layer in lora.layers} == {LoraLinear}
