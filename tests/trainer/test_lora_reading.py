"""LoRA files of other programs, damaged files, and the commands convert and inspect."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.test_lora_factors import HIDDEN, RANK, added_by_layer, random_lora
from trainer.__main__ import main
from trainer.errors import BadLora
from trainer.lora_convert import convert_lora
from trainer.lora_factors import to_original
from trainer.lora_file import lora_metadata, read_metadata, write_lora_file
from trainer.lora_inspect import inspect_lora
from trainer.lora_keys import block_layers
from trainer.lora_reading import read_lora

LAYERS = block_layers(2, 4)
LAYER = "transformer.transformer_blocks.0.attn.to_q"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "lora.safetensors"
    metadata = {"darkroom.trigger_word": "zorvex", "darkroom.alpha": "4.0"}
    write_lora_file(path, random_lora(LAYERS), scale=1.0, dtype=torch.float32, metadata=metadata)
    return path


def assert_same_effect(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    effect, wanted = added_by_layer(found), added_by_layer(expected)
    assert effect.keys() == wanted.keys()
    for layer, weight in wanted.items():
        assert torch.allclose(effect[layer], weight, atol=1e-5), layer


# --------------------------------------------------------------------------------------- reading


def test_kohyas_files_are_read_with_their_alpha(tmp_path: Path) -> None:
    values = random_lora(LAYERS)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in to_original(values).items():
        layer, _, factor = name.rpartition(".lora_")
        stem = "lora_unet_" + layer.replace(".", "_")
        half = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}[factor]
        tensors[f"{stem}.{half}"] = value
        if factor == "A.weight":
            tensors[f"{stem}.alpha"] = torch.tensor(0.5 * value.shape[0])
    save_file(tensors, tmp_path / "kohya.safetensors")
    file = read_lora(tmp_path / "kohya.safetensors")
    assert (file.kind, file.style) == ("lora", "kohya")
    halved = {n: v / 2 if "lora_B" in n else v for n, v in values.items()}
    assert_same_effect(file.values(), halved)


def test_alpha_of_a_lokr_counts_where_a_part_has_a_rank_and_is_idle_where_none_has(
    tmp_path: Path,
) -> None:
    w1, w2 = torch.ones(2, 2), torch.ones(3, 3)
    a, b = torch.ones(3, 1), torch.ones(1, 3)
    save_file(
        {
            f"{LAYER}.lokr_w1": w1,
            f"{LAYER}.lokr_w2_a": a,
            f"{LAYER}.lokr_w2_b": b,
            f"{LAYER}.alpha": torch.tensor(0.25),
            "transformer.transformer_blocks.0.attn.to_k.lokr_w1": w1.clone(),
            "transformer.transformer_blocks.0.attn.to_k.lokr_w2": w2,
            "transformer.transformer_blocks.0.attn.to_k.alpha": torch.tensor(9e9),
        },
        tmp_path / "lokr.safetensors",
    )
    file = read_lora(tmp_path / "lokr.safetensors")
    assert file.kind == "lokr"
    added = added_by_layer(file.values())
    assert (added["transformer_blocks.0.attn.to_q"] == 0.25).all()
    assert (added["transformer_blocks.0.attn.to_k"] == 1).all()


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("lora_missing", None),
        ("lora_is_pickle", pickle.dumps({"a": 1})),
        ("lora_damaged", b""),
        ("lora_damaged", b"\x10\0\0\0\0\0\0\0{not json at all}"),
        ("lora_damaged", b"version https://git-lfs.github.com/spec/v1\n"),
    ],
)
def test_what_is_no_safetensors_file_is_refused_by_name(
    tmp_path: Path, code: str, content: bytes | None
) -> None:
    path = tmp_path / "some.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadLora) as refused:
        read_lora(path)
    assert refused.value.code == code
    assert str(path) in refused.value.message


def test_a_torch_archive_is_refused_as_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "lora.pt"
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(BadLora) as refused:
        read_lora(path)
    assert refused.value.code == "lora_is_pickle"


def test_a_file_cut_short_is_refused(lora: Path) -> None:
    lora.write_bytes(lora.read_bytes()[:-100])
    with pytest.raises(BadLora) as refused:
        read_lora(lora)
    assert refused.value.code == "lora_damaged"


def test_a_file_without_any_lora_is_refused(tmp_path: Path) -> None:
    save_file({"proj_out.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(BadLora) as refused:
        read_lora(tmp_path / "model.safetensors")
    assert refused.value.code == "not_a_lora"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transformer.single_transformer_blocks.0.proj_mlp.lora_A.weight", torch.ones(2, 6)),
        ("transformer.transformer_blocks.0.attn.to_q.dora_scale", torch.ones(6)),
        ("transformer.transformer_blocks.1.attn.to_q.lora_A.weight", torch.ones(2, 6)),  # half
        ("text_encoder.layers.0.q_proj.lora_A.weight", torch.ones(2, 6)),
    ],
)
def test_keys_of_no_layer_are_listed_and_keep_the_file_from_being_used(
    tmp_path: Path, key: str, value: torch.Tensor
) -> None:
    good = {f"transformer.{n}": v for n, v in random_lora(LAYERS[:1]).items()}
    save_file({**good, key: value}, tmp_path / "odd.safetensors")
    file = read_lora(tmp_path / "odd.safetensors")
    assert file.unmapped == (key,)
    with pytest.raises(BadLora) as refused:
        file.values()
    assert refused.value.code == "lora_unmapped_keys"
    assert key in refused.value.message


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({f"{LAYER}.alpha": torch.ones(2)}, 3),
        ({f"{LAYER}.lora_A.weight": torch.ones(3, 6)}, 2),  # another rank than B's
        ({f"{LAYER}.lora_A.weight": torch.ones(2, 6, 1)}, 2),
        (
            {
                f"{LAYER}.lora_A.weight": torch.ones(0, 6),
                f"{LAYER}.lora_B.weight": torch.ones(6, 0),
            },
            2,
        ),
    ],
)
def test_factors_that_do_not_multiply_are_no_layer(
    tmp_path: Path, changes: dict[str, torch.Tensor], count: int
) -> None:
    two = random_lora(["transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k"])
    tensors = {f"transformer.{name}": value for name, value in two.items()}
    save_file({**tensors, **changes}, tmp_path / "odd.safetensors")
    file = read_lora(tmp_path / "odd.safetensors")
    assert len(file.unmapped) == count
    assert [layer.name for layer in file.layers] == ["transformer.transformer_blocks.0.attn.to_k"]


def test_values_that_are_not_numbers_keep_the_file_from_being_used(lora: Path) -> None:
    tensors = load_file(lora)
    tensors[f"{LAYER}.lora_B.weight"][0, 0] = float("inf")
    save_file(tensors, lora)
    with pytest.raises(BadLora) as refused:
        read_lora(lora).values()
    assert refused.value.code == "lora_not_finite"


# ------------------------------------------------------------------------------------ converting


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_there_and_back_is_the_same_file_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in ("first", "comfyui", "again")]
    metadata = {"darkroom.trigger_word": "zorvex", "from": "somewhere"}
    write_lora_file(paths[0], random_lora(LAYERS), scale=1.0, dtype=dtype, metadata=metadata)
    convert_lora(paths[0], paths[1], key_format="comfyui")
    convert_lora(paths[1], paths[2], key_format="diffusers")
    first, fused, again = (load_file(path) for path in paths)
    assert "diffusion_model.double_blocks.1.txt_attn.qkv.lora_B.weight" in fused
    assert all(name.startswith("diffusion_model.") for name in fused)
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert again[name].dtype == dtype
        assert torch.equal(again[name], value)
    assert read_metadata(paths[2]) == {"trigger_word": "zorvex"}
    assert read_lora(paths[2]).metadata["from"] == "somewhere"


def test_a_lokr_is_not_given_names_that_it_cannot_have(tmp_path: Path) -> None:
    source = tmp_path / "lokr.safetensors"
    save_file({f"{LAYER}.lokr_w1": torch.ones(2, 2), f"{LAYER}.lokr_w2": torch.ones(3, 3)}, source)
    with pytest.raises(BadLora) as refused:
        convert_lora(source, tmp_path / "out.safetensors", key_format="comfyui")
    assert refused.value.code == "lokr_has_diffusers_names"
    convert_lora(source, tmp_path / "out.safetensors", key_format="diffusers")
    assert load_file(tmp_path / "out.safetensors").keys() == load_file(source).keys()


def test_nothing_is_overwritten_and_nothing_left_behind(lora: Path, tmp_path: Path) -> None:
    before = lora.read_bytes()
    for target, code in ((lora, "target_exists"), (tmp_path / "out.pt", "bad_target")):
        with pytest.raises(BadLora) as refused:
            convert_lora(lora, target, key_format="comfyui")
        assert refused.value.code == code
    assert lora.read_bytes() == before
    assert list(tmp_path.iterdir()) == [lora]


# ------------------------------------------------------------------------------------ inspecting


def test_an_inspection_tells_what_the_file_is(tmp_path: Path) -> None:
    from tests.trainer.short_runs import job_with
    from trainer.job_file import parse_job

    job = parse_job(job_with({"target.linear_alpha": 2.0}))
    path = tmp_path / "lora.safetensors"
    metadata = lora_metadata(job, step=7, versions={"torch": "2"})
    write_lora_file(path, random_lora(LAYERS), scale=0.5, dtype=torch.bfloat16, metadata=metadata)
    found = inspect_lora(path)
    assert (found.kind, found.style, found.num_layers) == ("lora", "diffusers", len(LAYERS))
    assert (found.dtypes, found.ranks, found.alphas) == (["bfloat16"], [RANK], [])
    assert found.fits == ["tiny"]
    assert found.metadata["trigger_word"] == "zorvex"
    assert found.norm == pytest.approx(sum(n**2 for n in found.norms.values()) ** 0.5)
    assert found.problems == []
    text = found.as_text()
    for part in ("zorvex", "tiny", "bfloat16", "multiplied in (trained with 2.0)", LAYER):
        assert part in text
    told = json.loads(found.as_json())
    assert told["metadata"]["job"]["target"]["linear_rank"] == 4
    assert told["norms"].keys() == {f"transformer.{layer}" for layer in LAYERS}


def test_an_inspection_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    tensors = {f"transformer.{n}": v for n, v in random_lora(LAYERS[:2]).items()}
    tensors[f"transformer.{LAYERS[0]}.lora_B.weight"][0, 0] = float("nan")
    save_file({**tensors, "mystery": torch.ones(1)}, path)
    codes = {problem.code for problem in inspect_lora(path).problems}
    assert codes == {"lora_unmapped_keys", "lora_not_finite"}
    assert "mystery" in inspect_lora(path).as_text()

    for name in tensors:
        tensors[name] = torch.zeros_like(tensors[name])
    tensors["transformer.norm_out.linear.lora_A.weight"] = torch.zeros(RANK, HIDDEN)
    tensors["transformer.norm_out.linear.lora_B.weight"] = torch.zeros(2 * HIDDEN, RANK)
    save_file(tensors, path)
    codes = {problem.code for problem in inspect_lora(path).problems}
    assert codes == {"lora_changes_nothing", "lora_on_final_modulation"}


def test_the_commands_answer_with_exit_codes(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "comfyui.safetensors"
    assert main(["convert", str(lora), str(target), "--format", "comfyui"]) == 0
    assert main(["inspect", str(target)]) == 0
    assert "comfyui" in capsys.readouterr().out
    assert main(["inspect", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["style"] == "comfyui"
    assert main(["inspect", str(tmp_path / "missing.safetensors")]) == BadLora.exit_code
    assert "There is no file" in capsys.readouterr().err

    tensors = load_file(lora)
    tensors[f"{LAYER}.lora_B.weight"][0, 0] = float("nan")
    save_file(tensors, lora)
    assert main(["inspect", str(lora)]) == BadLora.exit_code
