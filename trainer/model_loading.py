"""Load the parts of a FLUX.2 pipeline that train and draw: transformer, autoencoder, scheduler.

The transformer never exists whole in its files' precision: it is built without memory, then filled
tensor by tensor (`model_filling.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
)
from torch import nn

from trainer.errors import BadModel
from trainer.kept_weights import kept_weights, load_kept
from trainer.latents import load_autoencoder
from trainer.model_filling import Keep, Progress, Storage, fill_model, stored_tensors
from trainer.model_parts import ModelParts
from trainer.original_layout import (
    UnknownTensor,
    has_halves_swapped,
    read_header,
    transformer_config,
    transformer_names,
)
from trainer.quantization_kinds import QuantizationKind
from trainer.variants import SCHEDULER_CONFIG, VARIANTS
from trainer.weight_files import weight_files

BLOCK_LISTS = ("transformer_blocks", "single_transformer_blocks")
# What the names of modules inside the blocks begin with.
INSIDE_BLOCKS = tuple(f"{blocks}." for blocks in BLOCK_LISTS)
FIELD = "model.name_or_path"
# Gives every parameter of a model without memory once, by its name.
WeightSource = Callable[[nn.Module], Iterator[tuple[str, torch.Tensor]]]


def choose_device(gpu: str) -> str:
    """ "cuda" or "cpu" for the job's GPU setting.

    Which card is meant is settled before the process starts, by CUDA_VISIBLE_DEVICES.
    """
    return "cpu" if gpu == "cpu" or not torch.cuda.is_available() else "cuda"


def load_transformer(
    path: Path,
    *,
    dtype: torch.dtype,
    device: str,
    quantization: QuantizationKind,
    progress: Progress,
    home_of: Callable[[str], str] | None = None,
    cache: Path | None = None,
    source: WeightSource | None = None,
) -> Flux2Transformer2DModel:
    """The frozen transformer in `path`, ready on `device`; its parameters ask for no gradient.

    path: a folder in Diffusers layout, or a single file in the original one. progress: called with
    (tensors done, tensors in all). home_of: as in `Storage`: where modules are to stay that shall
    not stay on `device`. cache: the folder that keeps quantized weights for the next start; None
    keeps nothing. source: gives the tensors in place of the files in `path`, of which only the
    configuration is then read; nothing of it is kept. Raises BadModel.
    """
    assert source is None or cache is None, "kept weights are known by the files they are from"
    storage = Storage(
        kind=quantization, inside=INSIDE_BLOCKS, dtype=dtype, device=device, home_of=home_of
    )
    kept = None if cache is None else kept_weights(cache, _files(path), storage, part="transformer")

    def fill(model: nn.Module, keep: Keep | None) -> None:
        fill_model(
            model,
            _stored(path) if source is None else source(model),
            storage,
            source=str(path),
            field=FIELD,
            progress=progress,
            keep=keep,
        )

    transformer = load_kept(
        lambda: empty_transformer(path), fill, storage, kept=kept, progress=progress
    )
    return transformer.eval()


def empty_transformer(path: Path) -> Flux2Transformer2DModel:
    """The architecture of the folder or single file, its parameters without memory.

    Raises BadModel.
    """
    return _empty_of_file(path) if path.is_file() else _empty_of_folder(path)


def _empty_of_folder(folder: Path) -> Flux2Transformer2DModel:
    try:
        config: Any = Flux2Transformer2DModel.load_config(folder, local_files_only=True)
        with torch.device("meta"):
            transformer = Flux2Transformer2DModel.from_config(config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadModel(
            f"The transformer's configuration in {folder} cannot be used: {error}",
            "Name or Path must be a FLUX.2 folder in Diffusers layout.",
            field="model.name_or_path",
        ) from error
    assert isinstance(transformer, Flux2Transformer2DModel)
    return transformer


def _empty_of_file(file: Path) -> Flux2Transformer2DModel:
    """The architecture that the shapes in the file are of."""
    try:
        config = transformer_config(read_header(file))
        with torch.device("meta"):
            return Flux2Transformer2DModel(**config)
    except (OSError, ValueError, KeyError) as error:
        raise BadModel(
            f"{file} is no FLUX.2 transformer: {error}",
            "Name or Path must be a folder in Diffusers layout, or a single file in the original "
            "layout, such as flux2-dev.safetensors.",
            field="model.name_or_path",
        ) from error


def _stored(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The transformer's tensors in Diffusers' names and arrangement."""
    if path.is_file():
        return _stored_in_original_layout(path)
    return stored_tensors(_files(path), field=FIELD)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else weight_files(path)


def _stored_in_original_layout(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a single file, each under Diffusers' name and as Diffusers arranges it."""
    for name, tensor in stored_tensors([file], field=FIELD):
        try:
            names = transformer_names(name)
        except UnknownTensor as error:
            raise BadModel(
                f"{file} holds a tensor {name!r} that FLUX.2 does not have.",
                "Give an original file, such as flux2-dev.safetensors, in bf16.",
                field="model.name_or_path",
                params={"tensor": name},
            ) from error
        if has_halves_swapped(name):
            tensor = torch.cat(tensor.chunk(2)[::-1])
        yield from zip(names, tensor.chunk(len(names)), strict=True)


@dataclass(frozen=True)
class DrawingParts:
    """What the pipeline needs beside the transformer and the encoded prompts."""

    autoencoder: AutoencoderKLFlux2
    scheduler: FlowMatchEulerDiscreteScheduler
    is_distilled: bool


def load_drawing_parts(parts: ModelParts, *, vae_dtype: torch.dtype) -> DrawingParts:
    """Autoencoder (on the CPU) and scheduler of the model. Raises BadModel."""
    autoencoder = load_autoencoder(
        parts.autoencoder, dtype=vae_dtype, device="cpu", architecture=parts.architecture
    )
    is_distilled = VARIANTS[parts.architecture].distilled_from is not None
    if parts.scheduler is None or parts.index is None:
        scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER_CONFIG)
        return DrawingParts(autoencoder, scheduler, is_distilled)
    try:
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(
            parts.scheduler, local_files_only=True
        )
        index = json.loads(parts.index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(
            f"The scheduler in {parts.scheduler} cannot be loaded: {error}",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error
    assert isinstance(scheduler, FlowMatchEulerDiscreteScheduler)
    return DrawingParts(autoencoder, scheduler, bool(index.get("is_distilled", is_distilled)))
