"""Can the job start from the LoRA that it names? Judged by the file's header, without torch."""

from __future__ import annotations

import os
from pathlib import Path

from trainer.config import JobConfig
from trainer.errors import BadLora, JobRefused, Problem
from trainer.folders import Folders, located
from trainer.lora_header import refuse_unreadable, told_other_base
from trainer.lora_keys import LORA_FACTORS, AdapterKind, LayerKey, adapter_kind, parse_key
from trainer.lora_keys import variant_layers as layers_of
from trainer.original_layout import read_header
from trainer.target_layers import chosen_layers

_FIELD = "training.start_from_lora"
_KIND_NAMES: dict[AdapterKind | None, str] = {"lora": "a LoRA", "lokr": "a LoKr", None: "neither"}
CHECKPOINT_LORA = "lora.safetensors"


def start_file(job: JobConfig, folders: Folders) -> Path | None:
    """The file that the job starts from; None if it starts afresh.

    A checkpoint's folder stands for its LoRA, a job's folder for its result. Raises JobRefused for
    a relative name that leads out of the models folder.
    """
    name = job.training.start_from_lora
    if not name:
        return None
    path = located(folders.models, name, field=_FIELD)
    if not os.path.isdir(path):  # False of a name that is too long for a file
        return path
    own = path / CHECKPOINT_LORA
    result = path / f"{path.name}.safetensors"
    return own if own.exists() or not result.exists() else result


def start_problems(job: JobConfig, folders: Folders) -> list[Problem]:
    """What keeps the job from starting from the LoRA that it names; each names both sides."""
    try:
        path = start_file(job, folders)
        if path is None:
            return []
        refuse_unreadable(path)
    except JobRefused as refusal:
        return list(refusal.problems)
    except BadLora as error:
        return [_problem(problem.code, problem.message, problem.hint) for problem in error.problems]

    shapes = {key: tensor.shape for key, tensor in read_header(path).items()}
    keys = {key: parse_key(key) for key in shapes}
    unmapped = sorted(key for key, parsed in keys.items() if parsed is None)
    if unmapped:
        return [
            _problem(
                "lora_unmapped_keys",
                f"{len(unmapped)} keys of {path} belong to no FLUX.2 layer, the first is "
                f"{unmapped[0]!r}.",
                "Give a LoRA or LoKr of a FLUX.2 model.",
            )
        ]
    found = {key: parsed for key, parsed in keys.items() if parsed is not None}
    return (
        _base_problems(job, path)
        or _kind_problems(job, path, adapter_kind(found.values()))
        or _layer_problems(job, path, {layer for key in found.values() for layer in key.layers})
        or _rank_problems(job, path, found, shapes)
    )


def _base_problems(job: JobConfig, path: Path) -> list[Problem]:
    """Does the file say that it is another model's?"""
    told = told_other_base(path, job.model.model_architecture)
    if told is None:
        return []
    return [
        _problem(
            "lora_of_another_base",
            f"{path} was trained on {told}, and the job trains {job.variant.label}.",
            "Choose that Model Architecture, or another LoRA.",
        )
    ]


def _kind_problems(job: JobConfig, path: Path, kind: AdapterKind | None) -> list[Problem]:
    if kind == job.target.target_type:
        return []
    return [
        _problem(
            "lora_of_another_target",
            f"{path} is {_KIND_NAMES[kind]}, and Target Type is "
            f"{_KIND_NAMES[job.target.target_type]}.",
            "Choose the Target Type that the file has, or another file.",
        )
    ]


def _layer_problems(job: JobConfig, path: Path, found: set[str]) -> list[Problem]:
    target = job.target
    wanted = set(chosen_layers(layers_of(job.variant), target.layers, target.layer_pattern))
    if found == wanted:
        return []
    only_here, only_there = sorted(wanted - found), sorted(found - wanted)
    example = (
        f"{only_there[0]} is in the file only"
        if only_there
        else f"{only_here[0]} is in the job only"
    )
    return [
        _problem(
            "lora_of_other_layers",
            f"{path} changes {len(found)} layers, and the job trains {len(wanted)}: {example}.",
            "Choose Layers as the file has them, or the model that it was made for.",
        )
    ]


def _rank_problems(
    job: JobConfig,
    path: Path,
    keys: dict[str, LayerKey],
    shapes: dict[str, tuple[int, ...]],
) -> list[Problem]:
    """The rank of a LoRA; a LoKr's sizes are compared when it is loaded."""
    if job.target.target_type != "lora":
        return []
    rank = job.target.linear_rank
    for key, parsed in keys.items():
        if parsed.factor != LORA_FACTORS[0]:
            continue
        found = next(iter(shapes[key]), 0)
        # q, k and v in one layer are three of the rank side by side, or share one of it.
        side_by_side = {rank * number for number in range(1, len(parsed.layers) + 1)}
        if found not in side_by_side:
            return [
                _problem(
                    "lora_of_another_rank",
                    f"{parsed.stem} in {path} has rank {found}, and Linear Rank is {rank}.",
                    f"Set Linear Rank to {found}, or choose another LoRA.",
                )
            ]
    return []


def _problem(code: str, message: str, hint: str) -> Problem:
    return Problem(code, message, hint, _FIELD)
