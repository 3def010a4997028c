"""Quantized weights kept on disk: read instead of made, proved, and made anew when they must be."""

from __future__ import annotations

import errno
import logging
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Flux2Transformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from trainer import folder_lock, kept_weights, quantization
from trainer.model_loading import load_transformer
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind
from trainer.quantized_linear import kind_of, raw_tensors
from trainer.tensor_file import TensorFileWriter
from trainer.variants import BUNDLED_TINY_FOLDER

TRANSFORMER = BUNDLED_TINY_FOLDER / "transformer"
SOURCE = "diffusion_pytorch_model.safetensors"


def load(
    cache: Path | None, kind: QuantizationKind = "int8", path: Path = TRANSFORMER, **options: Any
) -> Flux2Transformer2DModel:
    settings: dict[str, Any] = {"dtype": torch.bfloat16, "progress": lambda *_: None, **options}
    return load_transformer(path, device="cpu", quantization=kind, cache=cache, **settings)


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "weights").glob("*.safetensors"))


def everything(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every stored number of a model, by name."""
    found = {name: value.detach() for name, value in model.named_parameters()}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            found |= {f"{name}.{raw}": value for raw, value in raw_tensors(layer).items()}
    return found


def assert_same(one: nn.Module, other: nn.Module) -> None:
    ours, theirs = everything(one), everything(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype
        assert torch.equal(value.float(), theirs[name].float()), name


@pytest.fixture
def never_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantizing anything fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("a weight was quantized")

    monkeypatch.setattr("trainer.model_filling.quantized", refuse)


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS[1:])
def test_the_second_start_reads_what_the_first_one_made(
    tmp_path: Path, kind: QuantizationKind, request: pytest.FixtureRequest
) -> None:
    first = load(tmp_path, kind)
    (file,) = kept(tmp_path)
    request.getfixturevalue("never_encodes")
    second = load(tmp_path, kind)
    assert_same(first, second)
    assert_same(load_without_cache(kind, request), second)
    assert kept(tmp_path) == [file]
    assert not any(parameter.requires_grad for parameter in second.parameters())


def load_without_cache(
    kind: QuantizationKind, request: pytest.FixtureRequest
) -> Flux2Transformer2DModel:
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    with monkeypatch.context() as patched:
        patched.setattr("trainer.model_filling.quantized", quantization.quantized)
        return load(None, kind)


def test_what_is_not_quantized_is_not_kept(tmp_path: Path) -> None:
    load(tmp_path, "none")
    assert kept(tmp_path) == []


def test_each_kind_and_type_has_a_file_of_its_own(tmp_path: Path) -> None:
    load(tmp_path, "int8")
    load(tmp_path, "float8")
    load(tmp_path, "int8", dtype=torch.float32)
    assert len(kept(tmp_path)) == 3


def test_a_source_with_one_changed_layer_is_another_source(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TRANSFORMER, tmp_path / "model"))
    load(tmp_path / "cache", path=folder)
    tensors = load_file(folder / SOURCE)
    name = next(name for name in sorted(tensors) if name.endswith("to_q.weight"))
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, folder / SOURCE)
    changed = load(tmp_path / "cache", path=folder)
    assert_same(changed, load(None, path=folder))
    assert len(kept(tmp_path / "cache")) == 2


def test_a_copy_under_another_name_is_the_same_source(tmp_path: Path) -> None:
    load(tmp_path / "cache")
    folder = Path(shutil.copytree(TRANSFORMER, tmp_path / "another"))
    (folder / SOURCE).rename(folder / "renamed.safetensors")
    load(tmp_path / "cache", path=folder)
    assert len(kept(tmp_path / "cache")) == 1


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "another file's content"])
def test_a_damaged_file_is_made_anew_and_the_log_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = load(tmp_path)
    (file,) = kept(tmp_path)
    whole = file.read_bytes()
    if damage == "a flipped bit":
        spoiled = bytearray(whole)
        spoiled[-1000] ^= 1
        file.write_bytes(spoiled)
    elif damage == "cut short":
        file.write_bytes(whole[: len(whole) // 2])
    else:
        load(tmp_path, "float8")
        (other,) = (path for path in kept(tmp_path) if path != file)
        shutil.copyfile(other, file)
    with caplog.at_level(logging.WARNING, logger="trainer.kept_weights"):
        assert_same(load(tmp_path), first)
    assert any("quantized anew" in record.getMessage() for record in caplog.records)
    assert file.read_bytes() == whole


def test_a_file_is_hashed_only_where_it_changed_since_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path)
    (file,) = kept(tmp_path)
    asked: list[bool] = []
    reader = kept_weights.TensorFileReader
    monkeypatch.setattr(
        kept_weights,
        "TensorFileReader",
        lambda path, *, prove: (asked.append(prove), reader(path, prove=prove))[1],
    )
    load(tmp_path)
    file.write_bytes(file.read_bytes())
    load(tmp_path)
    load(tmp_path)
    assert asked == [False, True, False]


def test_the_same_in_another_make_is_removed_and_the_log_says_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, "float8")
    load(tmp_path, "int8")
    before = set(kept(tmp_path))
    monkeypatch.setattr(kept_weights, "RECIPE_VERSION", 2)
    with caplog.at_level(logging.WARNING, logger="trainer.kept_weights"):
        load(tmp_path, "int8")
    after = set(kept(tmp_path))
    assert len(before & after) == 1  # float8's stays
    assert len(after - before) == 1
    assert any("removed" in record.getMessage() for record in caplog.records)


def test_a_stop_while_loading_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, progress=stop)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["writing.lock"]


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / "weights" / ".writing-123.safetensors"
    left.parent.mkdir()
    left.write_bytes(b"half")
    load(tmp_path)
    assert not left.exists()


def test_while_another_run_writes_the_model_loads_without_being_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        folder_lock.held(tmp_path / "weights" / "writing.lock"),
        caplog.at_level(logging.WARNING, logger="trainer.kept_weights"),
    ):
        model = load(tmp_path)
    assert_same(model, load(None))
    assert kept(tmp_path) == []
    assert any("not kept" in record.getMessage() for record in caplog.records)


def test_a_disk_without_room_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 2 << 30))
    with caplog.at_level(logging.WARNING, logger="trainer.kept_weights"):
        model = load(tmp_path)
    assert_same(model, load(None))
    assert kept(tmp_path) == []
    assert any("2.1 GB are free" in record.getMessage() for record in caplog.records)


def test_a_disk_that_fills_up_on_the_way_costs_the_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add, calls = TensorFileWriter.add, []

    def fails_at_the_tenth(self: TensorFileWriter, name: str, tensor: torch.Tensor) -> None:
        calls.append(name)
        if len(calls) >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, name, tensor)

    monkeypatch.setattr(TensorFileWriter, "add", fails_at_the_tenth)
    with caplog.at_level(logging.WARNING, logger="trainer.kept_weights"):
        model = load(tmp_path)
    assert_same(model, load(None))
    assert len(calls) == 10
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["writing.lock"]
    assert any("No space left" in record.getMessage() for record in caplog.records)


def test_kept_layers_stay_where_they_are_to_stay(tmp_path: Path) -> None:
    load(tmp_path)
    away = "transformer_blocks.0."
    model = load(tmp_path, home_of=lambda name: "meta" if name.startswith(away) else "cpu")
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            places = {raw.device.type for raw in raw_tensors(layer).values()}
            assert places == ({"meta"} if name.startswith(away) else {"cpu"})
    assert kind_of(model.get_submodule(f"{away}attn.to_q")) == "int8"  # type: ignore[arg-type]
