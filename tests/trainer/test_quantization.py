"""float8 against the weights it stands for."""

from __future__ import annotations

import pytest
import torch
from optimum.quanto import QLinear
from torch import nn

from tests.trainer.mini_transformer import mini_transformer
from trainer.quantization import float8_linear, quantize_linears


def linear(dtype: torch.dtype = torch.float32, scale: float = 0.02) -> nn.Linear:
    layer = nn.Linear(192, 256, bias=False)
    with torch.no_grad():
        layer.weight.copy_(
            torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)) * scale
        )
    return layer.to(dtype)


@pytest.mark.parametrize("scale", [1.0, 0.02, 1e-4])
def test_the_rounding_error_is_the_same_for_small_weights(scale: float) -> None:
    layer = linear(scale=scale)
    stored = float8_linear(layer).weight.dequantize()
    error = ((stored - layer.weight).norm() / layer.weight.norm()).item()
    assert 0.015 < error < 0.035  # an unscaled cast has 1.0 at 1e-4: everything becomes zero


def test_each_row_has_its_own_scale() -> None:
    layer = linear()
    with torch.no_grad():
        layer.weight[0] *= 1000
    stored = float8_linear(layer).weight.dequantize()
    error = (stored[1:] - layer.weight[1:]).norm() / layer.weight[1:].norm()
    assert error.item() < 0.035


def test_a_row_of_zeros_stays_zero() -> None:
    layer = linear()
    with torch.no_grad():
        layer.weight[3] = 0
    quantized = float8_linear(layer)
    out = quantized(torch.ones(1, 192))
    assert out.isfinite().all()
    assert out[0, 3].item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forward_and_input_gradient_are_those_of_the_stored_weight(dtype: torch.dtype) -> None:
    quantized = float8_linear(linear(dtype))
    weight = quantized.weight.dequantize().float()
    x = torch.randn(3, 192, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    out = quantized(x)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert torch.allclose(out.float(), x.float() @ weight.T, atol=tolerance)
    out.sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad[0].float(), weight.sum(0), atol=tolerance * 10)


def test_a_stored_weight_takes_one_byte_and_asks_for_no_gradient() -> None:
    weight = float8_linear(linear(torch.bfloat16)).weight
    assert weight._data.element_size() == 1
    assert weight._scale.shape == (256, 1)
    assert not weight.requires_grad


def test_only_linears_below_the_named_children_are_replaced() -> None:
    transformer = mini_transformer(torch.float32)
    count = quantize_linears(
        transformer, inside=("transformer_blocks", "single_transformer_blocks")
    )
    quantized = {n for n, m in transformer.named_modules() if isinstance(m, QLinear)}
    assert count == len(quantized) == 14
    assert all("transformer_blocks." in name for name in quantized)
    assert type(transformer.proj_out) is nn.Linear
    assert type(transformer.context_embedder) is nn.Linear
