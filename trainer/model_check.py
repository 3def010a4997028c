"""Is this the model that the job says? Asked before anything is loaded, so in milliseconds.

Reads model_index.json, the parts' configurations and the headers of single files, and looks that
each part's weights are there. Whether the weights themselves are sound is found when they load.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.errors import Problem, Severity
from trainer.hub import HubAccess, HubRepository, download_problems
from trainer.model_parts import PARTS, ModelSource
from trainer.single_file_check import autoencoder_file_problems, transformer_file_problems
from trainer.variants import VARIANTS, Variant
from trainer.weight_files import index_file, missing_shards, weight_files

_FIELD = "model.name_or_path"
_PARTS_WITH_WEIGHTS = ("transformer", "vae", "text_encoder")
_LAYOUT_HINT = (
    "It must be a folder in Diffusers layout: model_index.json beside the folders transformer, "
    "vae, text_encoder, tokenizer and scheduler."
)
_DOWNLOAD_HINT = "Download the model again, completely."
# What git leaves in a clone made without its large-file extension, in place of the weights.
_LFS_POINTER = b"version https://git-lfs"


def source_problems(source: ModelSource) -> list[Problem]:
    """What keeps the model that the Model panel names from being used; asks the hub if it has to.

    A model that lies on this machine whole is never asked about.
    """
    variant = VARIANTS[source.architecture]
    problems: list[Problem] = []
    if source.transformer is not None:
        problems += transformer_file_problems(source.transformer, variant)
    if source.autoencoder is not None:
        problems += _autoencoder_problems(source.autoencoder)
    if source.text_encoder is not None:
        problems += _text_encoder_problems(source.text_encoder)
    if not source.needed:
        return problems
    if isinstance(source.base, Path):
        return problems + model_problems(source.base, variant, source.needed)
    return problems + _hub_problems(source, source.base, variant)


def revision_problems(revision: str, source: ModelSource) -> list[Problem]:
    """A warning for a Revision where nothing comes from the hub."""
    if not revision or (isinstance(source.base, HubRepository) and source.needed):
        return []
    return [
        Problem(
            "no_effect",
            f"Revision ({revision}) has no effect here: nothing comes from the hub.",
            "Leave it blank, or leave Name or Path blank to take the model from the hub.",
            "model.revision",
            Severity.WARNING,
            {"value": revision},
        )
    ]


def is_whole(source: ModelSource) -> bool:
    """Whether everything that is needed of the base lies on this machine."""
    folder = source.base_folder
    if not source.needed:
        return True
    if folder is None:
        return False
    found = model_problems(folder, VARIANTS[source.architecture], source.needed)
    return not any(problem.code == "model_incomplete" for problem in found)


def model_problems(folder: Path, variant: Variant, needed: Sequence[str] = PARTS) -> list[Problem]:
    """What keeps the `needed` parts of the pipeline in `folder` from being used as `variant`."""
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
    missing = [part for part in needed if not (folder / part).is_dir()]
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
        problem
        for part in _PARTS_WITH_WEIGHTS
        if part in needed
        for problem in _weights_problems(folder / part)
    ]
    if "transformer" in needed:
        problems += _size_problems(folder, variant) + _distillation_problems(index, variant)
    return problems


def _hub_problems(
    source: ModelSource, repository: HubRepository, variant: Variant
) -> list[Problem]:
    snapshot = source.base_folder
    if snapshot is not None:
        found = model_problems(snapshot, variant, source.needed)
        if not any(problem.code == "model_incomplete" for problem in found):
            return found
    gated = variant.gated and repository.repo_id == variant.hub_id
    access = HubAccess.from_environment()
    return download_problems(repository, source.needed, access=access, gated=gated)


def _autoencoder_problems(path: Path) -> list[Problem]:
    field = "model.autoencoder_path"
    if path.is_file():
        return autoencoder_file_problems(path)
    if not (path / "config.json").is_file():
        return [
            Problem(
                "autoencoder_missing",
                f"{path} is neither a file nor a folder with config.json.",
                "Give a folder in Diffusers layout, or a file such as ae.safetensors.",
                field,
            )
        ]
    config, problem = _read_json(path / "config.json")
    if problem:
        return [replace(problem, field=field)]
    kind = config.get("_class_name")
    if kind != "AutoencoderKLFlux2":
        return [
            Problem(
                "autoencoder_of_another_kind",
                f"{path} holds a {kind}; FLUX.2 needs an AutoencoderKLFlux2.",
                "An autoencoder of FLUX.1 or another model does not fit: choose FLUX.2's.",
                field,
                params={"found": kind},
            )
        ]
    return [replace(problem, field=field) for problem in _weights_problems(path)]


def _text_encoder_problems(path: Path) -> list[Problem]:
    field = "model.text_encoder_path"
    if not (path / "config.json").is_file():
        return [
            Problem(
                "text_encoder_missing",
                f"There is no {path / 'config.json'}.",
                "Give a folder with config.json beside the .safetensors files, as on the hub.",
                field,
            )
        ]
    return [replace(problem, field=field) for problem in _weights_problems(path)]


def _weights_problems(part: Path) -> list[Problem]:
    """Are the files that hold the part's weights all there, and are they weights?"""
    try:
        files = weight_files(part)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [
            _problem(
                "model_damaged",
                f"The index of the weights in {part} cannot be read: {error}.",
                _DOWNLOAD_HINT,
            )
        ]
    if not files:
        return [
            _problem(
                "model_incomplete",
                f"There are no weights in {part}.",
                "Only .safetensors files are read. " + _DOWNLOAD_HINT,
            )
        ]
    absent = [file.name for file in files if not file.is_file()]
    if index_file(part) is None:
        absent += missing_shards(files)
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
