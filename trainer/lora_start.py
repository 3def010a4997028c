"""Another LoRA's values as the start of a training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.errors import BadLora
from trainer.fingerprints import file_sha256
from trainer.lora import Lora
from trainer.lora_factors import scaled
from trainer.lora_keys import by_layer
from trainer.lora_reading import read_lora


@dataclass(frozen=True)
class Start:
    """values: by name, as `Lora.parameters`. about: JSON that says which file they are from."""

    values: dict[str, torch.Tensor]
    about: str


def read_start(path: Path, lora: Lora) -> Start:
    """The values of a LoRA file for `lora`, which then does what the file does.

    A file has alpha / rank multiplied in; the training multiplies by its own, so that is taken out
    again. Raises BadLora if the file cannot be used or has other layers or sizes.
    """
    found = read_lora(path).values()
    other = sorted(found.keys() ^ lora.parameters.keys())
    if other:
        where = "the file" if other[0] in found else "the job"
        raise BadLora(
            f"{path} has other layers than the job trains: {other[0]} is in {where} only.",
            "Choose Target Type, rank and Layers as the file has them.",
            code="lora_of_other_layers",
            field="training.start_from_lora",
            params={"path": str(path), "count": len(other)},
        )
    for name, parameter in lora.parameters.items():
        if found[name].shape != parameter.shape:
            raise BadLora(
                f"{name} is {list(found[name].shape)} in {path}, and {list(parameter.shape)} in "
                "the job.",
                "Choose the Linear Rank, LoKr Factor and model that the file was made with.",
                code="lora_of_another_size",
                field="training.start_from_lora",
                params={"name": name, "path": str(path)},
            )
    values: dict[str, torch.Tensor] = {}
    for layer, factors in by_layer(found).items():
        plain = {name: value.float() for name, value in factors.items()}
        for name, value in scaled(plain, 1 / lora.scale).items():
            values[f"{layer}.{name}"] = value
    return Start(values, json.dumps({"file": path.name, "sha256": file_sha256(path)}))
