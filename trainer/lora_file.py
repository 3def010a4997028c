"""The LoRA as a file that other programs load, and the proof that it is one.

Names are Diffusers': `transformer.<layer>.lora_A.weight`. The file carries no alpha: readers differ
in where they look for one, and Diffusers refuses it under its own names. alpha / rank is multiplied
into B instead, so any reader's plain B(A(x)) is what was trained; the original rank and alpha stand
in the metadata beside the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainer.config import JobConfig
from trainer.errors import DarkroomError, NonFinite

NAME_PREFIX = "transformer."
METADATA_PREFIX = "darkroom."


def write_lora_file(
    path: Path,
    values: Mapping[str, torch.Tensor],
    *,
    rank: int,
    alpha: float,
    dtype: torch.dtype,
    metadata: Mapping[str, str],
) -> bool:
    """Write the file, read it back and check it. True if the LoRA changes anything at all.

    values: full-precision parameters by name without prefix, as `Lora.parameters`. Raises NonFinite
    if a value is not a number, or is too large for `dtype`.
    """
    folded = {
        name: value * (alpha / rank) if name.endswith("lora_B.weight") else value
        for name, value in values.items()
    }
    stored = {
        f"{NAME_PREFIX}{name}": value.detach().to(dtype).cpu().contiguous()
        for name, value in folded.items()
    }
    save_file(stored, path, metadata={"format": "pt", **metadata})
    return _check(path, {name: tuple(tensor.shape) for name, tensor in stored.items()})


def lora_metadata(job: JobConfig, *, step: int, versions: Mapping[str, str]) -> dict[str, str]:
    """What a LoRA file says about itself: base model, trigger word, rank, alpha, step, recipe.

    A local model is named by its folder only: the file may be given away, the path is private.
    """
    recipe = job.model_dump(mode="json")
    local_name = PurePath(job.model.name_or_path).name
    recipe["model"]["name_or_path"] = local_name
    values = {
        "training_name": job.job.training_name,
        "architecture": job.model.model_architecture.value,
        "base_model": job.variant.hub_id or local_name or "tiny",
        "trigger_word": job.job.trigger_word,
        "rank": str(job.target.linear_rank),
        "alpha": str(job.lora_alpha),
        "step": str(step),
        "job": json.dumps(recipe, ensure_ascii=False),
        "versions": json.dumps(dict(versions)),
    }
    return {f"{METADATA_PREFIX}{key}": value for key, value in values.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a LoRA file, our keys without their prefix; empty for an unreadable file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
    except (OSError, SafetensorError):
        return {}
    return {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in metadata.items()
        if key.startswith(METADATA_PREFIX)
    }


def _check(path: Path, expected: Mapping[str, tuple[int, ...]]) -> bool:
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if names != set(expected):
            raise DarkroomError(
                f"{path.name} was written with other names than the LoRA has.",
                "The disk or its driver is at fault: check them, and resume.",
                code="bad_lora_file",
            )
        changes_anything = False
        for name in sorted(names):
            tensor = file.get_tensor(name)
            if tuple(tensor.shape) != expected[name] or not tensor.isfinite().all():
                raise NonFinite(
                    f"{name} has values that {tensor.dtype} cannot hold.",
                    "Choose BF16 or FP32 as Save's Data Type, or lower the Learning Rate.",
                    code="lora_not_finite",
                    field="save.data_type",
                    params={"tensor": name},
                )
            changes_anything |= "lora_B" in name and bool(tensor.any())
    return changes_anything
