"""LoKr: its arithmetic against the whole Kronecker product, its start, and its files elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import Flux2Transformer2DModel
from diffusers.loaders.lora_pipeline import Flux2LoraLoaderMixin
from peft import LoKrConfig
from peft.tuners.lokr.layer import Linear as PeftLoKrLinear
from safetensors.torch import load_file
from torch import nn

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.test_lora import loss_of, output_of
from trainer.lokr import LoKrLinear
from trainer.lora import Lora, add_lokr, block_linears
from trainer.lora_factors import added_weight
from trainer.lora_file import write_lora_file
from trainer.lora_keys import by_layer
from trainer.quantization import float8_linear

SIZES = [(12, 18), (32, 8), (7, 6), (64, 96)]


def filled(layer: LoKrLinear) -> LoKrLinear:
    draw = torch.Generator().manual_seed(2)
    for parameter in layer.parts("default").values():
        parameter.data = torch.randn(parameter.shape, generator=draw)
    return layer.eval()


@pytest.mark.parametrize(("num_in", "num_out"), SIZES)
@pytest.mark.parametrize("factor", [None, 2, 4])
@pytest.mark.parametrize("rank", [None, 1, 3])
def test_the_product_in_pieces_is_the_whole_kronecker_product(
    num_in: int, num_out: int, factor: int | None, rank: int | None
) -> None:
    base = nn.Linear(num_in, num_out, bias=False)
    layer = filled(LoKrLinear(base, "default", rank=rank, alpha=2.0, factor=factor, dropout=0.0))
    x = torch.randn(2, 5, num_in)
    parts = {name: value.detach() for name, value in layer.parts("default").items()}
    scale = 1.0 if rank is None else 2.0 / rank
    whole = added_weight(parts) * scale
    assert whole.shape == (num_out, num_in)
    assert torch.allclose(layer(x) - base(x), x @ whole.T, atol=1e-4)
    assert torch.allclose(layer.get_delta_weight("default"), whole, atol=1e-5)  # PEFT's own
    assert ("lokr_w2" in parts) == (rank is None or rank >= max(parts_shape(parts)) / 2)


def parts_shape(parts: dict[str, torch.Tensor]) -> tuple[int, int]:
    """(c, d) of the second matrix."""
    if "lokr_w2" in parts:
        return tuple(parts["lokr_w2"].shape)  # type: ignore[return-value]
    return parts["lokr_w2_a"].shape[0], parts["lokr_w2_b"].shape[1]


def test_gradients_are_those_of_pefts_layer() -> None:
    base = nn.Linear(24, 36, bias=False).requires_grad_(False)
    ours = filled(LoKrLinear(base, "default", rank=2, alpha=3.0, factor=4, dropout=0.0))
    config = LoKrConfig(decompose_factor=4)
    theirs = PeftLoKrLinear(base, "default", config, r=2, alpha=3.0).eval()
    parts = ours.parts("default")
    for name, value in parts.items():
        getattr(theirs, name)["default"].data = value.detach().clone()
    x = torch.randn(3, 24)
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    for name, value in parts.items():
        expected = getattr(theirs, name)["default"].grad
        assert value.grad is not None
        assert torch.allclose(value.grad, expected, rtol=1e-4, atol=1e-4), name


def trained(transformer: nn.Module, *, rank: int | None = 2, factor: int | None = 4) -> Lora:
    lora = add_lokr(transformer, rank=rank, alpha=3.0, factor=factor, seed=0)  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(1)
    for parameter in lora.parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.3
    return lora


def test_a_fresh_lokr_leaves_the_model_as_it_was_and_learns_from_the_first_step() -> None:
    transformer = mini_transformer(torch.float32)
    lora = add_lokr(transformer, rank=2, alpha=2.0, factor=None, seed=0)
    assert torch.equal(output_of(transformer), output_of(mini_transformer(torch.float32)))
    assert {name.rpartition(".lokr_")[0] for name in lora.parameters} == set(
        block_linears(mini_transformer())
    )
    asking = [p for p in transformer.parameters() if p.requires_grad]
    assert {id(p) for p in asking} == {id(p) for p in lora.parameters.values()}
    loss_of(transformer).backward()
    for name, parameter in lora.parameters.items():
        assert parameter.grad is not None, name
        if name.endswith(("lokr_w2", "lokr_w2_b")):
            assert parameter.grad.any(), name


def test_the_start_is_a_function_of_the_seed_and_of_float32() -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(3)
        model = mini_transformer(torch.bfloat16)
        return dict(add_lokr(model, rank=2, alpha=2.0, factor=4, seed=seed).parameters)

    first, again, other = start(1), start(1), start(2)
    assert {value.dtype for value in first.values()} == {torch.float32}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_off_strength_and_held_values_work_as_with_a_lora() -> None:
    transformer = mini_transformer(torch.float32)
    lora = trained(transformer)
    base, changed = output_of(mini_transformer(torch.float32)), output_of(transformer)
    assert not torch.allclose(base, changed, atol=1e-2)
    with lora.off():
        assert torch.equal(output_of(transformer), base)
    with lora.weighted(0.0):
        assert torch.allclose(output_of(transformer), base, atol=1e-6)
    zeros = {name: torch.zeros_like(value) for name, value in lora.parameters.items()}
    with lora.holding(zeros):
        assert torch.allclose(output_of(transformer), base, atol=1e-6)
    assert torch.equal(output_of(transformer), changed)


def test_a_quantized_layer_carries_a_lokr() -> None:
    layer = nn.Linear(32, 16, bias=False).to(torch.bfloat16)
    lokr = LoKrLinear(float8_linear(layer), "default", rank=2, alpha=2.0, factor=4, dropout=0.0)
    for parameter in lokr.parts("default").values():
        parameter.data = parameter.data.float().fill_(0.1)
    x = torch.ones(1, 32, dtype=torch.bfloat16)
    assert lokr.eval()(x).dtype == torch.bfloat16
    assert (lokr(x) - layer(x)).abs().max() > 0.05


@pytest.mark.parametrize("factor", [None, 2, 4, 8])
@pytest.mark.parametrize("rank", [None, 2])
def test_diffusers_loads_the_file_and_computes_the_same(
    tmp_path: Path, rank: int | None, factor: int | None
) -> None:
    transformer = mini_transformer(torch.float32)
    lora = trained(transformer, rank=rank, factor=factor)
    path = tmp_path / "lokr.safetensors"
    values = {name: value.detach() for name, value in lora.parameters.items()}
    written = write_lora_file(
        path, values, scale=lora.scale, dtype=torch.float32, key_format="comfyui", metadata={}
    )
    assert written.num_layers == 14
    assert all(name.startswith("transformer.") for name in load_file(path))

    theirs: Flux2Transformer2DModel = mini_transformer(torch.float32)
    state = Flux2LoraLoaderMixin.lora_state_dict(str(path))
    theirs.load_lora_adapter(state, adapter_name="theirs", prefix="transformer")
    assert torch.allclose(output_of(theirs), output_of(transformer), atol=1e-4)
    theirs.set_adapters("theirs", 0.0)
    base = output_of(mini_transformer(torch.float32))
    assert torch.allclose(output_of(theirs), base, atol=1e-6)


def test_the_file_holds_what_was_trained_with_the_scale_in_it(tmp_path: Path) -> None:
    lora = trained(mini_transformer(torch.float32))
    values = {name: value.detach() for name, value in lora.parameters.items()}
    path = tmp_path / "lokr.safetensors"
    write_lora_file(path, values, scale=1.5, dtype=torch.float32, metadata={})
    stored = {n.removeprefix("transformer."): v for n, v in load_file(path).items()}
    for layer, factors in by_layer(values).items():
        assert torch.allclose(
            added_weight(by_layer(stored)[layer]), 1.5 * added_weight(factors), atol=1e-5
        )
