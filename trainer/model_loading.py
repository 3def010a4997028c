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
from trainer.quantization import float8_linear

BLOCK_LISTS = ("transformer_blocks", "single_transformer_blocks")
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


def choose_device(gpu: str) -> str:
    """ "cuda" or "cpu" for the job's GPU setting.

    Which card is meant is settled before the process starts, by CUDA_VISIBLE_DEVICES.
    """
    return "cpu" if gpu == "cpu" or not torch.cuda.is_available() else "cuda"


def load_transformer(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: str,
    quantization: Literal["none", "float8"],
    progress: Callable[[int, int], None],
) -> Flux2Transformer2DModel:
    """The frozen transformer in `folder`, ready on `device`; its parameters ask for no gradient.

    progress: called with (tensors done, tensors in all). Raises BadModel.
    """
    transformer = _empty_transformer(folder)
    expected = dict(transformer.named_parameters())
    for done, (name, tensor) in enumerate(_stored_tensors(folder), start=1):
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


def _empty_transformer(folder: Path) -> Flux2Transformer2DModel:
    """The architecture of `folder`, its parameters without memory."""
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


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one part of a pipeline, as its index names them."""
    index = folder / f"{WEIGHTS_NAME}.index.json"
    if not index.is_file():
        return [folder / WEIGHTS_NAME]
    weight_map: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return [folder / name for name in sorted(set(weight_map.values()))]


def _stored_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for file in weight_files(folder):
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


def load_drawing_parts(folder: Path, *, dtype: torch.dtype) -> DrawingParts:
    """Autoencoder (on the CPU) and scheduler of the pipeline in `folder`. Raises BadModel."""
    try:
        autoencoder = AutoencoderKLFlux2.from_pretrained(
            folder / "vae", dtype=dtype, local_files_only=True, use_safetensors=True
        )
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(
            folder / "scheduler", local_files_only=True
        )
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise BadModel(
            f"The autoencoder or scheduler in {folder} cannot be loaded: {error}",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error
    assert isinstance(scheduler, FlowMatchEulerDiscreteScheduler)
    return DrawingParts(
        autoencoder=autoencoder.requires_grad_(False).eval(),
        scheduler=scheduler,
        is_distilled=bool(index.get("is_distilled", False)),
    )
