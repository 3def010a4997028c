"""Factors of a layer: what they add, q, k and v fused and split, and values moved into range."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_flux2_lora_to_diffusers as diffusers_import,
)
from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers

from trainer.lora_factors import (
    added_norm,
    added_weight,
    balanced,
    scaled,
    split_in_three,
    to_original,
)
from trainer.lora_keys import block_layers, by_layer

HIDDEN, RANK = 6, 2


def random_lora(layers: list[str], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """A LoRA of rank 2 on layers of six features."""
    draw = torch.Generator().manual_seed(seed)
    return {
        f"{layer}.lora_{part}.weight": torch.randn(
            (RANK, HIDDEN) if part == "A" else (HIDDEN, RANK), generator=draw
        )
        for layer in layers
        for part in "AB"
    }


def added_by_layer(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {layer: added_weight(factors) for layer, factors in by_layer(values).items()}


def test_the_original_names_are_those_that_diffusers_converts_whole_models_from() -> None:
    """What the fused LoRA adds to the reference code's weights, converted as a model is."""
    values = random_lora([*block_layers(2, 2), "norm_out.linear", "x_embedder"])
    added = {
        f"{original}.weight": added_weight(factors)
        for original, factors in by_layer(to_original(values)).items()
    }
    converted = convert_flux2_transformer_checkpoint_to_diffusers(added)
    expected = added_by_layer(values)
    assert converted.keys() == {f"{layer}.weight" for layer in expected}
    for layer, weight in expected.items():
        assert torch.allclose(converted[f"{layer}.weight"], weight, atol=1e-6), layer


def test_the_lora_importer_of_diffusers_reads_the_fused_names() -> None:
    values = random_lora(block_layers(1, 1))
    prefixed = {f"diffusion_model.{name}": value for name, value in to_original(values).items()}
    imported = {
        name.removeprefix("transformer."): value
        for name, value in diffusers_import(prefixed).items()
    }
    expected = added_by_layer(values)
    found = added_by_layer(imported)
    assert found.keys() == expected.keys()
    for layer, weight in expected.items():
        assert torch.allclose(found[layer], weight, atol=1e-6), layer


@pytest.mark.parametrize("present", ["qkv", "qk", "qv", "kv", "q", "k", "v"])
def test_what_was_fused_side_by_side_is_split_into_the_same_parts(present: str) -> None:
    values = random_lora([f"transformer_blocks.0.attn.to_{part}" for part in present])
    fused = by_layer(to_original(values))["double_blocks.0.img_attn.qkv"]
    assert fused["lora_A.weight"].shape == (RANK * len(present), HIDDEN)
    assert fused["lora_B.weight"].shape == (3 * HIDDEN, RANK * len(present))
    split = split_in_three(fused)
    assert split is not None
    for part, factors in zip("qkv", split, strict=True):
        assert (factors is not None) == (part in present)
        for factor, value in (factors or {}).items():
            assert torch.equal(value, values[f"transformer_blocks.0.attn.to_{part}.{factor}"])


def test_a_layer_that_was_trained_fused_is_split_into_three_with_one_a() -> None:
    draw = torch.Generator().manual_seed(1)
    fused = {
        "lora_A.weight": torch.randn(3, HIDDEN, generator=draw),
        "lora_B.weight": torch.randn(3 * HIDDEN, 3, generator=draw),
    }
    split = split_in_three(fused)
    assert split is not None
    rows = added_weight(fused).chunk(3)
    for factors, expected in zip(split, rows, strict=True):
        assert factors is not None
        assert torch.equal(factors["lora_A.weight"], fused["lora_A.weight"])
        assert torch.allclose(added_weight(factors), expected, atol=1e-6)


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_lokr_over_q_k_and_v_is_split_where_its_rows_can_be(decomposed: bool) -> None:
    draw = torch.Generator().manual_seed(2)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    first = (
        {"lokr_w1_a": matrix(6, 1), "lokr_w1_b": matrix(1, 2)}
        if decomposed
        else {"lokr_w1": matrix(6, 2)}
    )
    fused = {**first, "lokr_w2": matrix(3, 3)}
    split = split_in_three(fused)
    assert split is not None
    for factors, expected in zip(split, added_weight(fused).chunk(3), strict=True):
        assert factors is not None
        assert torch.allclose(added_weight(factors), expected, atol=1e-6)
    assert split_in_three({"lokr_w1": matrix(2, 2), "lokr_w2": matrix(9, 3)}) is None


@pytest.mark.parametrize(
    "shapes",
    [
        {"lora_A.weight": (2, 6), "lora_B.weight": (4, 2)},
        {"lokr_w1": (2, 3), "lokr_w2": (4, 5)},
        {"lokr_w1": (2, 3), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 5)},
        {"lokr_w1_a": (2, 1), "lokr_w1_b": (1, 3), "lokr_w2": (4, 5)},
    ],
)
def test_the_norm_is_that_of_the_added_weight_and_the_scale_multiplies_it(
    shapes: dict[str, tuple[int, int]],
) -> None:
    draw = torch.Generator().manual_seed(3)
    factors = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    weight = added_weight(factors)
    assert added_norm(factors) == pytest.approx(weight.norm().item(), rel=1e-5)
    assert torch.allclose(added_weight(scaled(factors, 0.25)), weight / 4, atol=1e-6)
    assert added_norm({name: value * 0 for name, value in factors.items()}) == 0.0


def test_a_kronecker_product_is_laid_out_as_torch_lays_it_out() -> None:
    w1, w2 = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [5.0]])
    assert added_weight({"lokr_w1": w1, "lokr_w2": w2}).tolist() == [[3.0, 6.0], [5.0, 10.0]]


def test_balancing_moves_powers_of_two_and_keeps_the_product_to_the_bit() -> None:
    draw = torch.Generator().manual_seed(4)
    factors = {
        "lora_A.weight": torch.randn(2, 6, generator=draw).half().float(),
        "lora_B.weight": (torch.randn(4, 2, generator=draw).half().float()) * 2.0**18,
    }
    fitting = balanced(factors, torch.float16)
    assert all(value.half().isfinite().all() for value in fitting.values())
    halves = {name: value.half().float() for name, value in fitting.items()}
    assert torch.equal(added_weight(halves), added_weight(factors))
    assert balanced(factors, torch.bfloat16) == factors


def test_balancing_leaves_alone_what_it_cannot_help() -> None:
    hopeless = {"lora_A.weight": torch.full((1, 2), 1e9), "lora_B.weight": torch.full((2, 1), 1e9)}
    assert balanced(hopeless, torch.float16) == hopeless
    lost = {"lora_A.weight": torch.full((1, 2), float("nan")), "lora_B.weight": torch.ones(2, 1)}
    assert balanced(lost, torch.float16).keys() == lost.keys()
