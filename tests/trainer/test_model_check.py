"""Is a folder the model that the job says? Asked of copies of the bundled one, each faulty."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.errors import Severity
from trainer.model_check import model_problems
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED_TINY_FOLDER, tmp_path / "model"))


def _edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_bundled_model_is_the_tiny_architecture() -> None:
    assert model_problems(BUNDLED_TINY_FOLDER, TINY) == []


def _split_without_second_shard(folder: Path) -> None:
    part = folder / "transformer"
    weights = part / "diffusion_pytorch_model.safetensors"
    weights.rename(part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    shards = {"a": weights.stem + "-00001-of-00002.safetensors", "b": "second.safetensors"}
    index = part / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))


FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("model_missing", lambda f: shutil.rmtree(f), "There is no folder"),
    ("model_incomplete", lambda f: (f / "model_index.json").unlink(), "model_index.json"),
    ("model_damaged", lambda f: (f / "model_index.json").write_text("{"), "model_index.json"),
    ("model_damaged", lambda f: (f / "model_index.json").write_text("[]"), "no mapping"),
    ("model_incomplete", lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer"),
    (
        "model_incomplete",
        lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
        "vae",
    ),
    ("model_incomplete", _split_without_second_shard, "second.safetensors"),
    (
        "model_is_pointer",
        lambda f: (f / "text_encoder" / "model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        ),
        "git-lfs",
    ),
    (
        "model_of_another_size",
        lambda f: _edit_json(f / "transformer" / "config.json", num_layers=8),
        "8 double and 4 single blocks",
    ),
    (
        "model_of_another_kind",
        lambda f: _edit_json(f / "model_index.json", _class_name="FluxPipeline"),
        "holds a FluxPipeline",
    ),
]


@pytest.mark.parametrize(("code", "spoil", "said"), FAULTS, ids=[f"{c} {s}" for c, _, s in FAULTS])
def test_each_fault_has_its_code_and_names_what_is_wrong(
    folder: Path, code: str, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(folder)
    (problem,) = model_problems(folder, TINY)
    assert problem.code == code
    assert said in problem.message
    assert problem.hint
    assert problem.severity == Severity.ERROR
    assert problem.field == "model.name_or_path"


def test_a_single_file_is_not_a_folder() -> None:
    weights = BUNDLED_TINY_FOLDER / "vae" / "diffusion_pytorch_model.safetensors"
    (problem,) = model_problems(weights, TINY)
    assert problem.code == "model_not_a_folder"


def test_a_distilled_klein_in_a_base_models_place_is_a_warning(folder: Path) -> None:
    base = VARIANTS[Architecture.KLEIN_BASE_4B]
    _edit_json(folder / "model_index.json", _class_name="Flux2KleinPipeline", is_distilled=True)
    _edit_json(folder / "transformer" / "config.json", num_layers=5, num_single_layers=20)
    (problem,) = model_problems(folder, base)
    assert (problem.code, problem.severity) == ("model_distillation_differs", Severity.WARNING)
    assert model_problems(folder, VARIANTS[Architecture.KLEIN_4B]) == []
