"""FLUX.2's autoencoder from a single file in the original layout.

Diffusers converts transformers of that layout but not `AutoencoderKLFlux2`, so the names are
mapped here (`original_layout.autoencoder_name`). A file has no configuration: all FLUX.2 models
have the same autoencoder, whose sizes are the defaults of Diffusers' class; the tiny model's are in
its own folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2
from safetensors import SafetensorError
from safetensors.torch import load_file

from trainer.errors import BadModel
from trainer.original_layout import autoencoder_name, is_attention_matrix
from trainer.variants import BUNDLED_TINY_FOLDER, Architecture

_FIELD = "model.autoencoder_path"


def load_original_autoencoder(
    file: Path, *, architecture: Architecture, dtype: torch.dtype, device: str
) -> AutoencoderKLFlux2:
    """The frozen autoencoder, every tensor of it from `file`. Raises BadModel."""
    with torch.device("meta"):
        autoencoder = AutoencoderKLFlux2(**_config(architecture))
    num_levels = len(autoencoder.config["block_out_channels"])
    expected = autoencoder.state_dict()
    values: dict[str, torch.Tensor] = {}
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadModel(
            f"{file} cannot be read: {error}",
            "It is missing or damaged: download it again.",
            field=_FIELD,
        ) from error
    for name, tensor in stored.items():
        own = autoencoder_name(name, num_levels=num_levels)
        values[own] = tensor.flatten(1) if is_attention_matrix(own) else tensor
    # A counter of training steps, which nothing computes with and some files leave out.
    values.setdefault("bn.num_batches_tracked", torch.tensor(0))
    wrong = sorted(
        name
        for name in expected.keys() | values.keys()
        if name not in values or name not in expected or values[name].shape != expected[name].shape
    )
    if wrong:
        raise BadModel(
            f"{file} does not fit FLUX.2's autoencoder: {len(wrong)} tensors are missing, too many "
            f"or of another size, the first is {wrong[0]!r}.",
            "Give FLUX.2's ae.safetensors, downloaded completely.",
            field=_FIELD,
            params={"tensors": wrong[:20]},
        )
    autoencoder.load_state_dict(values, assign=True)
    autoencoder.to(device).to(dtype)  # pyright: ignore[reportArgumentType]
    return autoencoder.requires_grad_(False).eval()


def _config(architecture: Architecture) -> dict[str, Any]:
    if architecture != Architecture.TINY:
        return {}
    text = (BUNDLED_TINY_FOLDER / "vae" / "config.json").read_text(encoding="utf-8")
    return {key: value for key, value in json.loads(text).items() if not key.startswith("_")}
