"""The LoRA as a file that other programs load, and the proof that it is one.

The names are Diffusers' or, for programs that know no others, the reference code's
(`lora_keys.py`). The file carries no alpha: readers differ in where they look for one, and
Diffusers refuses it under its own names. alpha / rank is multiplied into the factors instead, so
any reader's plain product is what was trained; the original rank and alpha stand in the metadata
beside the base model, the recipe and the dataset's hash.

float16 ends at 65504. Where a factor goes beyond it, powers of two are moved to the layer's other
factor: the product is the same to the bit, and no value becomes infinite.

After writing, the file is read back the way a stranger's would be, and compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors.torch import save_file

from trainer.config import JobConfig
from trainer.errors import BadLora, DarkroomError, NonFinite
from trainer.lora_factors import added_norm, balanced, scaled, to_original
from trainer.lora_header import METADATA_PREFIX, read_metadata
from trainer.lora_keys import (
    DIFFUSERS_PREFIX,
    LOKR_FACTORS,
    ORIGINAL_PREFIX,
    KeyFormat,
    by_layer,
)
from trainer.lora_reading import read_lora

__all__ = ["WrittenLora", "lora_metadata", "read_metadata", "write_lora_file"]

# Settings that may hold a path of the machine that trained.
_PRIVATE_PATHS = (
    ("model", "name_or_path"),
    ("model", "autoencoder_path"),
    ("model", "text_encoder_path"),
    ("training", "start_from_lora"),
)


@dataclass(frozen=True)
class WrittenLora:
    """What reading the file back has shown.

    num_layers: Diffusers' layers that it changes. norm: the Frobenius norm of all that it adds to
    the weights; 0 for a LoRA that has not been trained yet.
    """

    num_layers: int
    norm: float

    @property
    def changes_anything(self) -> bool:
        return self.norm > 0


def write_lora_file(
    path: Path,
    values: Mapping[str, torch.Tensor],
    *,
    scale: float,
    dtype: torch.dtype,
    key_format: KeyFormat = "diffusers",
    metadata: Mapping[str, str],
) -> WrittenLora:
    """Write the file, read it back and check it.

    values: full-precision factors by `layer.factor`, as `Lora.parameters`. scale: alpha / rank. A
    LoKr is in Diffusers' names whatever the format. Raises NonFinite if a value is not a number or
    cannot be held by `dtype`.
    """
    stored: dict[str, torch.Tensor] = {}
    for layer, factors in by_layer(values).items():
        plain = {name: value.detach().cpu().float() for name, value in factors.items()}
        fitting = balanced(scaled(plain, scale), dtype)
        stored |= {f"{layer}.{name}": value.to(dtype) for name, value in fitting.items()}
    named = with_keys(stored, key_format)
    save_file(
        {key: value.contiguous() for key, value in named.items()},
        path,
        metadata={"format": "pt", **metadata},
    )
    return _check(path, stored)


def with_keys(values: Mapping[str, torch.Tensor], key_format: KeyFormat) -> dict[str, torch.Tensor]:
    """Factors by `layer.factor` in Diffusers' names, under a file's keys."""
    is_lokr = any(name.endswith(LOKR_FACTORS) for name in values)
    if key_format == "diffusers" or is_lokr:
        return {f"{DIFFUSERS_PREFIX}{name}": value for name, value in values.items()}
    return {f"{ORIGINAL_PREFIX}{name}": value for name, value in to_original(values).items()}


def lora_metadata(
    job: JobConfig,
    *,
    step: int,
    versions: Mapping[str, str],
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What a LoRA file says about itself: base model, trigger word, rank, alpha, step, recipe.

    Local models and files are named by their last part only: the file may be given away, the path
    is private. more: further entries, by key without prefix.
    """
    recipe = job.model_dump(mode="json")
    local_name = PurePath(job.model.name_or_path).name
    for panel, name in _PRIVATE_PATHS:
        recipe[panel][name] = PurePath(recipe[panel][name]).name
    values = {
        "training_name": job.job.training_name,
        "architecture": job.model.model_architecture.value,
        "base_model": job.variant.hub_id or local_name or "tiny",
        "trigger_word": job.job.trigger_word,
        "target_type": job.target.target_type,
        "rank": str(job.target.linear_rank),
        "alpha": str(job.lora_alpha),
        "step": str(step),
        "job": json.dumps(recipe, ensure_ascii=False),
        "versions": json.dumps(dict(versions)),
        **(more or {}),
    }
    return {f"{METADATA_PREFIX}{key}": value for key, value in values.items()}


def _check(path: Path, expected: Mapping[str, torch.Tensor]) -> WrittenLora:
    """Read the file as a stranger's and compare it to what was meant."""
    for name, value in expected.items():
        if not value.isfinite().all():
            raise NonFinite(
                f"{name} has values that {value.dtype} cannot hold.",
                "Choose BF16 or FP32 as Save's Data Type, or lower the Learning Rate.",
                code="lora_not_finite",
                field="save.data_type",
                params={"tensor": name},
            )
    try:
        found = read_lora(path).values()
    except BadLora as error:
        raise _not_as_written(path, error.message) from error
    if found.keys() != expected.keys():
        raise _not_as_written(path, "it has other layers than the LoRA")
    for name, value in expected.items():
        if found[name].dtype != value.dtype or not torch.equal(found[name], value):
            raise _not_as_written(path, f"{name} has other values")
    layers: dict[str, dict[str, Any]] = by_layer(found)
    norms = [added_norm(factors) for factors in layers.values()]
    return WrittenLora(len(layers), sum(norm**2 for norm in norms) ** 0.5)


def _not_as_written(path: Path, what: str) -> DarkroomError:
    return DarkroomError(
        f"{path.name} is not as it was written: {what}.",
        "The disk or its driver is at fault: check them, and resume.",
        code="bad_lora_file",
    )
