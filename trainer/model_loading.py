"""Load the parts of a FLUX.2 pipeline that train and draw: transformer, autoencoder, scheduler.

The transformer never exists whole in its files' precision: it is built without memory, then filled
tensor by tensor from the files. Each tensor is cast, moved and, if it belongs to a block's linear
layer and float8 is asked for, quantized before the next is read. So the host holds one tensor at a
time beside the page cache, and the card never more than the finished model and one tensor: 33 GB
for dev in float8, where loading first and quantizing afterwards needs 64 GB and more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
)
from safetensors import SafetensorError, safe_open
from torch import nn

from trainer.errors import BadModel
from trainer.latents import load_autoencoder
from trainer.model_parts import ModelParts
from trainer.original_layout import (
    UnknownTensor,
    has_halves_swapped,
    read_header,
    transformer_config,
    transformer_names,
)
from trainer.quantization import float8_linear
from trainer.variants import SCHEDULER_CONFIG, VARIANTS
from trainer.weight_files import weight_files

BLOCK_LISTS = ("transformer_blocks", "single_transformer_blocks")


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
    quantization: Literal["none", "float8"],
    progress: Callable[[int, int], None],
) -> Flux2Transformer2DModel:
    """The frozen transformer in `path`, ready on `device`; its parameters ask for no gradient.

    path: a folder in Diffusers layout, or a single file in the original one. progress: called with
    (tensors done, tensors in all). Raises BadModel.
    """
    folder = path
    is_file = path.is_file()
    transformer = empty_transformer(path)
    expected = dict(transformer.named_parameters())
    stored = _stored_in_original_layout(path) if is_file else _stored_tensors(weight_files(path))
    for done, (name, tensor) in enumerate(stored, start=1):
        parameter = expected.pop(name, None)
        if parameter is None:
            raise BadModel(
                f"{folder} holds a tensor {name!r} that its configuration does not have.",
                "Its configuration and its weights are from different models: download it again.",
                field="model.name_or_path",
                params={"tensor": name},
            )
        if tensor.shape != parameter.shape:
            raise BadModel(
                f"{name} in {folder} has the shape {list(tensor.shape)}, and its configuration "
                f"says {list(parameter.shape)}.",
                "The files are from different models: download the folder again.",
                field="model.name_or_path",
            )
        _place(transformer, name, tensor.to(device=device, dtype=dtype), quantization)
        progress(done, done + len(expected))
    if expected:
        raise BadModel(
            f"{folder} lacks {len(expected)} tensors, the first is {next(iter(expected))!r}.",
            "The download is incomplete: download the folder again.",
            field="model.name_or_path",
            params={"missing": len(expected)},
        )
    return transformer.requires_grad_(False).eval()


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


def _stored_in_original_layout(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a single file, each under Diffusers' name and as Diffusers arranges it."""
    for name, tensor in _stored_tensors([file]):
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


def _stored_tensors(files: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    for file in files:
        try:
            with safe_open(file, framework="pt", device="cpu") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    yield name, tensors.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise BadModel(
                f"{file} cannot be read: {error}",
                "It is missing or damaged: download it again.",
                field="model.name_or_path",
            ) from error


def _place(transformer: nn.Module, name: str, tensor: torch.Tensor, quantization: str) -> None:
    """Put one tensor into the model, quantized if it is the weight of a block's linear layer."""
    module_name, _, leaf = name.rpartition(".")
    module = transformer.get_submodule(module_name)
    setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
    in_block = name.startswith(tuple(f"{blocks}." for blocks in BLOCK_LISTS))
    if quantization == "float8" and in_block and type(module) is nn.Linear:
        parent_name, _, own_name = module_name.rpartition(".")
        setattr(transformer.get_submodule(parent_name), own_name, float8_linear(module))


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
