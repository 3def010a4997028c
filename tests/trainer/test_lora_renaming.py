"""Renaming a LoRA's file without torch, against the same with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from trainer.errors import BadLora
from trainer.lora_convert import convert_lora
from trainer.lora_file import write_lora_file
from trainer.lora_keys import KeyFormat, block_layers
from trainer.lora_renaming import key_format_of, renamed_lora

RANK, WIDTH = 4, 24


def some_lora(
    path: Path, key_format: KeyFormat, dtype: torch.dtype, *, leave_out: str = ""
) -> Path:
    """A LoRA over two double blocks, a single block and the last modulation, as a run writes it."""
    generator = torch.Generator().manual_seed(7)
    layers = [name for name in [*block_layers(2, 1), "norm_out.linear"]]
    values: dict[str, torch.Tensor] = {}
    for layer in layers:
        if leave_out and layer.endswith(leave_out):
            continue
        values[f"{layer}.lora_A.weight"] = torch.randn(RANK, WIDTH, generator=generator)
        values[f"{layer}.lora_B.weight"] = torch.randn(2 * WIDTH, RANK, generator=generator)
    metadata = {"darkroom.trigger_word": "hätch"}
    write_lora_file(path, values, scale=0.5, dtype=dtype, key_format=key_format, metadata=metadata)
    return path


def written(path: Path, source: Path, key_format: KeyFormat) -> Path:
    renamed = renamed_lora(source, key_format)
    path.write_bytes(b"".join(renamed.parts))
    assert path.stat().st_size == renamed.size_bytes
    return path


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def assert_same(one: Path, other: Path) -> None:
    (tensors, metadata), (expected, said) = contents(one), contents(other)
    assert metadata == said
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():
        assert tensors[key].dtype == value.dtype, key
        assert torch.equal(tensors[key], value), key


@pytest.mark.parametrize("leave_out", ["", "attn.to_k", "attn.add_q_proj"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_in_both_directions_it_is_what_the_trainer_converts_to(
    tmp_path: Path, dtype: torch.dtype, leave_out: str
) -> None:
    source = some_lora(tmp_path / "a.safetensors", "diffusers", dtype, leave_out=leave_out)
    convert_lora(source, tmp_path / "b.safetensors", key_format="comfyui")
    there = written(tmp_path / "there.safetensors", source, "comfyui")
    assert_same(there, tmp_path / "b.safetensors")
    back = written(tmp_path / "back.safetensors", there, "diffusers")
    assert_same(back, source)


def test_a_layer_that_was_trained_fused_is_split_into_three_with_the_same_a(tmp_path: Path) -> None:
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    source = tmp_path / "fused.safetensors"
    values = {
        f"{stem}.lora_A.weight": torch.randn(6, WIDTH),
        f"{stem}.lora_B.weight": torch.randn(3 * WIDTH, 6),
    }
    save_file(values, source)
    convert_lora(source, tmp_path / "b.safetensors", key_format="diffusers")
    split, _ = contents(written(tmp_path / "c.safetensors", source, "diffusers"))
    expected, _ = contents(tmp_path / "b.safetensors")
    assert {key: value.tolist() for key, value in split.items()} == {
        key: value.tolist() for key, value in expected.items()
    }


def test_it_knows_whose_names_a_file_has(tmp_path: Path) -> None:
    for key_format in ("diffusers", "comfyui"):
        path = some_lora(tmp_path / f"{key_format}.safetensors", key_format, torch.bfloat16)
        assert key_format_of(path) == key_format


def test_what_it_cannot_rename_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"transformer.norm_out.linear.lokr_w1": torch.ones(2, 2)}, path)
    with pytest.raises(BadLora, match="LoKr"):
        renamed_lora(path, "comfyui")
    stem = "transformer.norm_out.linear"
    pair = {f"{stem}.lora_A.weight": torch.ones(2, 2), f"{stem}.lora_B.weight": torch.ones(2, 2)}
    save_file({**pair, f"{stem}.alpha": torch.ones(1)}, path)
    with pytest.raises(BadLora, match="alpha"):
        renamed_lora(path, "comfyui")
    path.write_bytes(b"PK\x03\x04 and the rest of a pickle")
    with pytest.raises(BadLora, match="pickle"):
        renamed_lora(path, "comfyui")
