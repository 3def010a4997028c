"""Which model a LoRA file is of, by its header alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainer.errors import BadLora
from trainer.lora_fit import changed_weights, fitting_architectures, misfit
from trainer.model_shapes import known_shapes
from trainer.variants import Architecture

A = Architecture
DOUBLE = "transformer_blocks.0.attn.to_q"


def lora_on(
    path: Path, layer: str, architecture: Architecture, *, prefix: str = "transformer."
) -> Path:
    """A LoRA of rank 1 on one of an architecture's layers."""
    rows, columns = known_shapes(architecture).transformer.linear(layer)
    factors = {"lora_A": torch.zeros(1, columns), "lora_B": torch.zeros(rows, 1)}
    save_file({f"{prefix}{layer}.{name}.weight": v for name, v in factors.items()}, path)
    return path


@pytest.mark.parametrize(
    ("trained_on", "fits"),
    [
        (A.TINY, {A.TINY}),
        (A.FLUX2_DEV, {A.FLUX2_DEV}),
        (A.KLEIN_4B, {A.KLEIN_4B, A.KLEIN_BASE_4B}),
        (A.KLEIN_BASE_9B, {A.KLEIN_9B, A.KLEIN_BASE_9B}),
    ],
)
def test_a_lora_fits_the_family_that_it_was_trained_on_and_no_other(
    tmp_path: Path, trained_on: Architecture, fits: set[Architecture]
) -> None:
    changed = changed_weights(lora_on(tmp_path / "a.safetensors", DOUBLE, trained_on))
    assert set(fitting_architectures(changed)) == fits


def test_a_lora_of_q_k_and_v_together_changes_three_layers_rows(tmp_path: Path) -> None:
    rows, columns = known_shapes(A.TINY).transformer.linear(DOUBLE)
    factors = {"lora_A": torch.zeros(2, columns), "lora_B": torch.zeros(3 * rows, 2)}
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    save_file({f"{stem}.{n}.weight": v for n, v in factors.items()}, tmp_path / "a.safetensors")
    (layers,) = changed = changed_weights(tmp_path / "a.safetensors")
    assert layers == tuple(f"transformer_blocks.0.attn.to_{name}" for name in "qkv")
    assert fitting_architectures(changed) == [A.TINY]


def test_a_lokr_is_measured_by_the_product_of_its_factors(tmp_path: Path) -> None:
    rows, columns = known_shapes(A.TINY).transformer.linear(DOUBLE)
    factors = {
        "lokr_w1": torch.zeros(4, 2),
        "lokr_w2_a": torch.zeros(rows // 4, 3),
        "lokr_w2_b": torch.zeros(3, columns // 2),
    }
    path = tmp_path / "a.safetensors"
    save_file({f"lycoris_{DOUBLE.replace('.', '_')}.{n}": v for n, v in factors.items()}, path)
    assert fitting_architectures(changed_weights(path)) == [A.TINY]


def test_what_a_model_lacks_is_said_with_the_layer(tmp_path: Path) -> None:
    tiny = known_shapes(A.TINY).transformer
    last = f"single_transformer_blocks.{tiny.single.count}.attn.to_out"
    dev = lora_on(tmp_path / "a.safetensors", last, A.FLUX2_DEV)
    assert misfit(changed_weights(dev), tiny) == (
        f"changes the layer {last}, which this model does not have"
    )
    other = misfit(changed_weights(lora_on(tmp_path / "b.safetensors", DOUBLE, A.FLUX2_DEV)), tiny)
    assert other is not None
    assert f"{DOUBLE} as [6144, 6144]" in other


def test_what_is_no_lora_of_flux2_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    half = {f"transformer.{DOUBLE}.lora_A.weight": torch.zeros(1, 4)}
    for tensors, code in (
        ({"decoder.conv_in.weight": torch.zeros(2, 2)}, "not_a_lora"),
        ({}, "not_a_lora"),
        (half, "lora_unmapped_keys"),
    ):
        save_file(tensors, path)
        with pytest.raises(BadLora) as refusal:
            changed_weights(path)
        assert refusal.value.problems[0].code == code
        assert str(path) in str(refusal.value)
