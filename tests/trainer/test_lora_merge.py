"""A LoRA merged into its base: in Diffusers layout, in one file, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.test_lora import output_of
from trainer.__main__ import main
from trainer.errors import BadLora, BadModel, DiskFull
from trainer.lora import add_lora
from trainer.lora_factors import added_weight, to_original
from trainer.lora_file import write_lora_file
from trainer.lora_keys import KeyFormat, by_layer
from trainer.lora_merge import NOTE_FILE, Merged, merge_lora
from trainer.lora_reading import read_lora

WEIGHTS = "diffusion_pytorch_model.safetensors"
STRENGTH = 0.75


def trained_values(transformer: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Values of a LoRA of rank 2 that has learned something, in float32."""
    draw = torch.Generator().manual_seed(3)
    lora = add_lora(transformer, rank=2, alpha=2.0, seed=0)  # type: ignore[arg-type]
    for parameter in lora.parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.25
    return {name: parameter.detach() for name, parameter in lora.parameters.items()}


def merge(model: Path, lora: Path, output: Path, strength: float = STRENGTH) -> Merged:
    return merge_lora(model, lora, output, strength=strength, progress=lambda _done, _total: None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The mini transformer as a pipeline's folder in two shards, with something beside it."""
    folder = tmp_path / "model"
    mini_transformer(torch.float32).save_pretrained(
        folder / "transformer", max_shard_size="60KB", safe_serialization=True
    )
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_lora(tmp_path / "lora.safetensors")


def write_lora(path: Path, key_format: KeyFormat = "diffusers") -> Path:
    values = trained_values(mini_transformer(torch.float32))
    write_lora_file(
        path, values, scale=1.0, dtype=torch.float32, key_format=key_format, metadata={}
    )
    return path


@pytest.mark.parametrize("key_format", ["diffusers", "comfyui"])
def test_the_merged_model_computes_what_base_and_lora_compute(
    model: Path, tmp_path: Path, key_format: KeyFormat
) -> None:
    path = write_lora(tmp_path / f"{key_format}.safetensors", key_format)
    merged = merge(model, path, tmp_path / "merged")
    assert merged == Merged(num_layers=14, num_tensors=14)

    together = mini_transformer(torch.float32)
    values = trained_values(together)
    for module in together.modules():
        if isinstance(module, LoraLayer):
            module.set_scale("default", STRENGTH)
    base = output_of(mini_transformer(torch.float32))
    expected = output_of(together)
    found = output_of(type(together).from_pretrained(tmp_path / "merged" / "transformer"))
    assert torch.allclose(found, expected, atol=2e-4)
    assert not torch.allclose(base, expected, atol=0.05)
    assert len(values) == 28


def test_what_the_lora_does_not_change_is_copied_to_the_byte(
    model: Path, lora: Path, tmp_path: Path
) -> None:
    merge(model, lora, tmp_path / "merged")
    changed = {f"{layer}.weight" for layer in by_layer(trained_values(mini_transformer()))}
    for file in (model / "transformer").glob("*.safetensors"):
        copy = load_file(tmp_path / "merged" / "transformer" / file.name)
        for name, value in load_file(file).items():
            assert torch.equal(copy[name], value) == (name not in changed), name
    assert (tmp_path / "merged" / "model_index.json").read_text() == "{}"
    note = json.loads((tmp_path / "merged" / NOTE_FILE).read_text())
    assert (note["lora"], note["strength"]) == ("lora.safetensors", STRENGTH)


def test_strength_zero_gives_the_base(model: Path, lora: Path, tmp_path: Path) -> None:
    merge(model, lora, tmp_path / "merged", strength=0.0)
    for file in (model / "transformer").glob("*.safetensors"):
        assert (tmp_path / "merged" / "transformer" / file.name).read_bytes() == file.read_bytes()


def test_one_file_in_the_original_layout_is_merged_under_its_own_names(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(5)
    values = {
        f"{layer}.lora_{part}.weight": torch.randn(
            (2, 6) if part == "A" else (6, 2), generator=draw
        )
        for layer in (
            "transformer_blocks.0.attn.to_q",
            "transformer_blocks.0.attn.to_v",  # k is left alone
            "single_transformer_blocks.0.attn.to_out",
            "norm_out.linear",
        )
        for part in "AB"
    }
    names = {name.rpartition(".lora")[0] for name in to_original(values)}
    weights = {
        f"{name}.weight": torch.randn(18 if name.endswith("qkv") else 6, 6, generator=draw)
        for name in names
    }
    single, path = tmp_path / "flux2.safetensors", tmp_path / "lora.safetensors"
    save_file(weights, single)
    write_lora_file(path, values, scale=1.0, dtype=torch.float32, metadata={})
    merge(single, path, tmp_path / "merged.safetensors", strength=1.0)

    found = convert_flux2_transformer_checkpoint_to_diffusers(
        load_file(tmp_path / "merged.safetensors")
    )
    base = convert_flux2_transformer_checkpoint_to_diffusers(dict(weights))
    added = {layer: added_weight(factors) for layer, factors in by_layer(values).items()}
    assert found.keys() == base.keys()
    for name, weight in base.items():
        change = added.get(name.removesuffix(".weight"), torch.zeros_like(weight))
        assert torch.allclose(found[name], weight + change, atol=1e-5), name


def test_a_lokr_over_q_k_and_v_that_cannot_be_split_is_merged_all_the_same(
    model: Path, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(6)
    factors = {
        "lokr_w1": torch.randn(4, 4, generator=draw),  # 4 rows are no three parts
        "lokr_w2": torch.randn(24, 8, generator=draw),
    }
    path = tmp_path / "lokr.safetensors"
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    save_file({f"{stem}.{name}": value for name, value in factors.items()}, path)
    with pytest.raises(BadLora) as refused:
        read_lora(path).values()
    assert refused.value.code == "lora_cannot_be_split"

    assert merge(model, path, tmp_path / "merged") == Merged(num_layers=3, num_tensors=3)

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        files = (folder / "transformer").glob("*.safetensors")
        return {name: value for file in files for name, value in load_file(file).items()}

    base, merged = weights(model), weights(tmp_path / "merged")
    for part, added in zip("qkv", added_weight(factors).chunk(3), strict=True):
        name = f"transformer_blocks.0.attn.to_{part}.weight"
        assert torch.allclose(merged[name], base[name] + STRENGTH * added, atol=1e-5)


def test_a_lora_of_a_larger_or_wider_model_is_refused(model: Path, tmp_path: Path) -> None:
    def refusal(layer: str, width: int) -> BadLora:
        path = tmp_path / "other.safetensors"
        save_file(
            {
                f"transformer.{layer}.lora_A.weight": torch.ones(2, width),
                f"transformer.{layer}.lora_B.weight": torch.ones(width, 2),
            },
            path,
        )
        with pytest.raises(BadLora) as refused:
            merge(model, path, tmp_path / "merged")
        assert not (tmp_path / "merged").exists()
        return refused.value

    missing = refusal("transformer_blocks.7.attn.to_q", 32)
    assert missing.code == "lora_of_another_base"
    assert "transformer_blocks.7.attn.to_q" in missing.message
    wider = refusal("transformer_blocks.0.attn.to_q", 64)
    assert wider.code == "lora_of_another_base"
    assert "[64, 64]" in wider.message
    assert "[32, 32]" in wider.message


def test_a_quantized_or_missing_base_is_refused(model: Path, lora: Path, tmp_path: Path) -> None:
    for file in (model / "transformer").glob("*.safetensors"):
        save_file({n: v.to(torch.float8_e4m3fn) for n, v in load_file(file).items()}, file)
    with pytest.raises(BadModel) as refused:
        merge(model, lora, tmp_path / "merged")
    assert refused.value.code == "model_is_quantized"
    shutil.rmtree(model / "transformer")
    with pytest.raises(BadModel):
        merge(model, lora, tmp_path / "merged")


def test_a_sum_beyond_the_bases_type_is_refused_and_leaves_nothing(
    lora: Path, model: Path, tmp_path: Path
) -> None:
    for file in (model / "transformer").glob("*.safetensors"):
        save_file({name: value.half() for name, value in load_file(file).items()}, file)
    with pytest.raises(BadLora) as refused:
        merge(model, lora, tmp_path / "merged", strength=1e9)
    assert refused.value.code == "merge_not_finite"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "lora.safetensors"}


def test_a_full_disk_is_known_before_anything_is_copied(
    model: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10))
    with pytest.raises(DiskFull):
        merge(model, lora, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_command_merges_and_refuses_with_exit_codes(
    model: Path, lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["merge", "--lora", str(lora), "--output", str(tmp_path / "merged")]
    assert main([*arguments, "--model", "model", "--models", str(tmp_path)]) == 0
    assert "14 layers" in capsys.readouterr().out
    assert main([*arguments, "--model", str(model)]) == BadLora.exit_code
    assert "exists" in capsys.readouterr().err
    assert main([*arguments, "--model", "nowhere"]) == BadModel.exit_code
