"""LoRA files: names, folded alpha, types, metadata, and the check after writing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.short_runs import job_with
from trainer.errors import NonFinite
from trainer.job_file import parse_job
from trainer.lora import add_lora
from trainer.lora_file import WrittenLora, lora_metadata, read_metadata, write_lora_file
from trainer.lora_keys import KeyFormat

LAYER = "single_transformer_blocks.0.attn.to_out"


def values() -> dict[str, torch.Tensor]:
    lora = add_lora(mini_transformer(), rank=4, alpha=2.0, seed=0)
    held = {name: parameter.detach().clone() for name, parameter in lora.parameters.items()}
    for name, value in held.items():
        if "lora_B" in name:
            value.fill_(0.25)
    return held


def write(
    path: Path,
    held: dict[str, torch.Tensor],
    dtype: torch.dtype = torch.float32,
    key_format: KeyFormat = "diffusers",
) -> WrittenLora:
    return write_lora_file(path, held, scale=0.5, dtype=dtype, key_format=key_format, metadata={})


def test_alpha_over_rank_is_folded_into_b(tmp_path: Path) -> None:
    held = values()
    assert write(tmp_path / "lora.safetensors", held).changes_anything
    with safe_open(tmp_path / "lora.safetensors", framework="pt") as file:
        assert set(file.keys()) == {f"transformer.{name}" for name in held}
        b = file.get_tensor(f"transformer.{LAYER}.lora_B.weight")
        a = file.get_tensor(f"transformer.{LAYER}.lora_A.weight")
    assert (b == 0.125).all()  # 0.25 * 2 / 4
    assert torch.equal(a, held[f"{LAYER}.lora_A.weight"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_file_has_the_type_that_was_asked_for(tmp_path: Path, dtype: torch.dtype) -> None:
    write(tmp_path / "lora.safetensors", values(), dtype)
    with safe_open(tmp_path / "lora.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {dtype}  # noqa: SIM118


def test_an_untrained_lora_is_said_to_change_nothing(tmp_path: Path) -> None:
    lora = add_lora(mini_transformer(), rank=4, alpha=2.0, seed=0)
    written = write(tmp_path / "lora.safetensors", dict(lora.parameters))
    assert not written.changes_anything
    assert written.norm == 0
    assert written.num_layers == 14


def test_what_is_written_is_measured_by_what_it_adds(tmp_path: Path) -> None:
    held = values()
    written = write(tmp_path / "lora.safetensors", held)
    added = [
        0.5 * held[name] @ held[name.replace("lora_B", "lora_A")]
        for name in held
        if "lora_B" in name
    ]
    assert written.norm == pytest.approx(
        torch.cat([d.flatten() for d in added]).double().norm().item()
    )


def test_a_value_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    held = values()
    held[f"{LAYER}.lora_B.weight"][0, 0] = float("nan")
    with pytest.raises(NonFinite, match="to_out"):
        write(tmp_path / "lora.safetensors", held)


def test_a_value_too_large_for_fp16_is_shared_with_the_other_factor(tmp_path: Path) -> None:
    held = values()
    held[f"{LAYER}.lora_B.weight"][0, 0] = 2.0**20
    path = tmp_path / "narrow.safetensors"
    write(path, held, torch.float16)
    found = load_file(path)
    a, b = (found[f"transformer.{LAYER}.lora_{part}.weight"] for part in "AB")
    assert b[0, 0] == 2.0**15  # half of it by alpha / rank, and 2^4 moved to A
    exact = held[f"{LAYER}.lora_A.weight"].half() * 2.0**4
    assert torch.equal(a, exact)
    other = found["transformer.transformer_blocks.0.attn.to_q.lora_B.weight"]
    assert (other == 0.125).all()  # what fits is left alone


def test_what_fits_no_fp16_at_all_is_refused_with_the_setting(tmp_path: Path) -> None:
    held = values()
    held[f"{LAYER}.lora_B.weight"][0, 0] = 1e12
    held[f"{LAYER}.lora_A.weight"][0, 0] = 1e3
    write(tmp_path / "wide.safetensors", held, torch.bfloat16)
    with pytest.raises(NonFinite) as refused:
        write(tmp_path / "narrow.safetensors", held, torch.float16)
    assert refused.value.problems[0].field == "save.data_type"


def test_the_metadata_tells_base_trigger_rank_alpha_step_and_recipe(tmp_path: Path) -> None:
    job = parse_job(
        job_with({"target.linear_alpha": 2.0, "model.name_or_path": "/home/someone/models/my-tiny"})
    )
    metadata = lora_metadata(job, step=7, versions={"torch": "2"})
    path = tmp_path / "lora.safetensors"
    write_lora_file(path, values(), scale=0.5, dtype=torch.float32, metadata=metadata)
    told = read_metadata(path)
    assert told["trigger_word"] == "zorvex"
    assert (told["rank"], told["alpha"], told["step"]) == ("4", "2.0", "7")
    assert told["base_model"] == "my-tiny"
    assert json.loads(told["job"])["training"]["learning_rate"] == 0.003
    assert "/home/someone" not in json.dumps(told)


def test_an_unreadable_file_has_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"nonsense")
    assert read_metadata(tmp_path / "lora.safetensors") == {}
    assert read_metadata(tmp_path / "missing.safetensors") == {}
