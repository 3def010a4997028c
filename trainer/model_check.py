"""Is this folder the model that the job says? Asked before anything is loaded, so in milliseconds.

Reads model_index.json and the parts' configurations, and looks that each part's weights are there.
Whether the weights themselves are sound is found when they load.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.errors import Problem, Severity
from trainer.variants import Variant

_FIELD = "model.name_or_path"
_PARTS_WITH_WEIGHTS = ("transformer", "vae", "text_encoder")
_PARTS = (*_PARTS_WITH_WEIGHTS, "tokenizer", "scheduler")
_LAYOUT_HINT = (
    "It must be a folder in Diffusers layout: model_index.json beside the folders transformer, "
    "vae, text_encoder, tokenizer and scheduler."
)
_DOWNLOAD_HINT = "Download the model again, completely."
# What git leaves in a clone made without its large-file extension, in place of the weights.
_LFS_POINTER = b"version https://git-lfs"


def model_problems(folder: Path, variant: Variant) -> list[Problem]:
    """What keeps the model in `folder` from being used as `variant`; empty when nothing does."""
    if folder.is_file():
        return [_problem("model_not_a_folder", f"{folder} is a file.", _LAYOUT_HINT)]
    if not folder.is_dir():
        return [_problem("model_missing", f"There is no folder {folder}.", "Check the path.")]
    index, problem = _read_json(folder / "model_index.json")
    if problem:
        return [problem]

    pipeline = index.get("_class_name")
    if pipeline != variant.pipeline_class:
        return [
            _problem(
                "model_of_another_kind",
                f"{folder} holds a {pipeline}, but {variant.label} is a {variant.pipeline_class}.",
                "Choose the Model Architecture that the folder holds, or another folder.",
                pipeline=pipeline,
                expected=variant.pipeline_class,
            )
        ]
    missing = [part for part in _PARTS if not (folder / part).is_dir()]
    if missing:
        return [
            _problem(
                "model_incomplete",
                f"{folder} lacks the folders: {', '.join(missing)}.",
                _DOWNLOAD_HINT,
                missing=missing,
            )
        ]
    problems = [
        problem for part in _PARTS_WITH_WEIGHTS for problem in _weights_problems(folder / part)
    ]
    return problems + _size_problems(folder, variant) + _distillation_problems(index, variant)


def _weights_problems(part: Path) -> list[Problem]:
    """Are the files that hold the part's weights all there, and are they weights?"""
    indexes = sorted(part.glob("*.safetensors.index.json"))
    if indexes:
        index, problem = _read_json(indexes[0])
        if problem:
            return [problem]
        weight_map = index.get("weight_map")
        names = sorted(set(weight_map.values())) if isinstance(weight_map, dict) else []
        files = [part / str(name) for name in names]
    else:
        files = sorted(part.glob("*.safetensors"))
    if not files:
        return [
            _problem(
                "model_incomplete",
                f"There are no weights in {part}.",
                "Only .safetensors files are read. " + _DOWNLOAD_HINT,
            )
        ]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        return [
            _problem(
                "model_incomplete",
                f"{part} lacks weights: {', '.join(absent)}.",
                _DOWNLOAD_HINT,
                missing=absent,
            )
        ]
    pointers = [file.name for file in files if _is_lfs_pointer(file)]
    if pointers:
        return [
            _problem(
                "model_is_pointer",
                f"In {part} these are pointers of git-lfs, not weights: {', '.join(pointers)}.",
                "Run `git lfs pull` in the model's folder, or download it again.",
                files=pointers,
            )
        ]
    return []


def _size_problems(folder: Path, variant: Variant) -> list[Problem]:
    """All klein models share a pipeline class; their block counts tell them apart."""
    config, problem = _read_json(folder / "transformer" / "config.json")
    if problem:
        return [problem]
    found = (config.get("num_layers"), config.get("num_single_layers"))
    expected = (variant.num_double_blocks, variant.num_single_blocks)
    if found == expected:
        return []
    return [
        _problem(
            "model_of_another_size",
            f"The transformer in {folder} has {found[0]} double and {found[1]} single blocks; "
            f"{variant.label} has {expected[0]} and {expected[1]}.",
            "Choose the Model Architecture that the folder holds, or another folder.",
            found=list(found),
            expected=list(expected),
        )
    ]


def _distillation_problems(index: dict[str, Any], variant: Variant) -> list[Problem]:
    is_distilled = index.get("is_distilled")
    if variant.pipeline_class != "Flux2KleinPipeline" or not isinstance(is_distilled, bool):
        return []
    if is_distilled == (variant.distilled_from is not None):
        return []
    kind = "a distilled model" if is_distilled else "a base model, not a distilled one"
    return [
        Problem(
            "model_distillation_differs",
            f"The folder says that it holds {kind}, but the job says {variant.label}.",
            "Choose the Model Architecture that the folder holds: it sets how samples are drawn.",
            "model.model_architecture",
            Severity.WARNING,
            {"is_distilled": is_distilled},
        )
    ]


def _read_json(path: Path) -> tuple[dict[str, Any], Problem | None]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, _problem("model_incomplete", f"There is no {path}.", _LAYOUT_HINT)
    except (OSError, ValueError) as error:
        return {}, _problem(
            "model_damaged", f"{path} cannot be read: {error}.", _DOWNLOAD_HINT, file=str(path)
        )
    if not isinstance(data, dict):
        return {}, _problem("model_damaged", f"{path} holds no mapping.", _DOWNLOAD_HINT)
    return data, None


def _is_lfs_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_LFS_POINTER)) == _LFS_POINTER


def _problem(code: str, message: str, hint: str, **params: Any) -> Problem:
    return Problem(code, message, hint, _FIELD, params=params)
