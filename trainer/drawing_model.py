"""A model that draws with any of several LoRA files, outside of a training.

The transformer loads as it does for training: tensor by tensor, quantized, its blocks streamed
where the card is too small. LoRA files go in through Diffusers' own loader, whatever names they
have, all at once; which one a picture wears is a switch.

A LoKr is another matter: Diffusers' loader has to guess its factor from the sizes and cannot for
every program's files. Its part of a layer's output is added to what the layer gives,

    y + s (w1 (x) w2) x

by the product that `lokr.py` describes, which needs neither the whole matrix nor the layer's weight
in numbers: so it works on quantized layers and on streamed ones as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from trainer.aside import set_aside
from trainer.attention import set_attention
from trainer.block_memory import home_of, manage_blocks, transformer_blocks
from trainer.block_shares import num_streamed_blocks, streamed_blocks
from trainer.config import JobConfig
from trainer.errors import BadLora
from trainer.folders import Folders
from trainer.lora_keys import by_layer
from trainer.lora_merge import added_shape
from trainer.lora_reading import LoraFile
from trainer.model_loading import load_drawing_parts, load_transformer
from trainer.model_parts import ModelParts
from trainer.offloading import BlockStream
from trainer.sampling import Pipeline, build_pipeline
from trainer.trainee import DTYPES


@dataclass
class DrawingModel:
    """A pipeline and the LoRAs that it can wear. stream: None where all blocks stay on the card."""

    pipeline: Pipeline
    stream: BlockStream | None
    _adapters: dict[int, str]
    _hooked: dict[int, list[_LoKrPart]]

    @contextmanager
    def wearing(self, lora: int | None, strength: float) -> Iterator[None]:
        """The model with a file at a strength within the block; None, or 0, is the base model."""
        worn = None if strength == 0 else lora
        self._wear_adapter(self._adapters.get(worn) if worn is not None else None, strength)
        parts = self._hooked.get(worn, []) if worn is not None else []
        for part in parts:
            part.strength = strength
        try:
            yield
        finally:
            for part in parts:
                part.strength = 0.0

    def transformer_aside(self) -> AbstractContextManager[None]:
        """The transformer's frozen weights in host memory within the block."""
        transformer = self.pipeline.transformer
        return set_aside(transformer, transformer_blocks(transformer), self.stream)

    def _wear_adapter(self, name: str | None, strength: float) -> None:
        if not self._adapters:
            return
        if name is None:
            self.pipeline.disable_lora()
            return
        self.pipeline.enable_lora()
        self.pipeline.set_adapters(name, strength)


def load_drawing_model(
    job: JobConfig,
    parts: ModelParts,
    loras: Sequence[LoraFile],
    folders: Folders,
    *,
    device: str,
    progress: Callable[[int, int], None],
) -> DrawingModel:
    """The model of a drawing's job (`drawing_config.as_job`, offloading settled), with all files.

    loras: that fit the model. progress: takes tensors done and tensors in all. Raises BadModel.
    """
    variant = job.variant
    num_blocks = variant.num_double_blocks + variant.num_single_blocks
    streamed = streamed_blocks(
        num_blocks, num_streamed_blocks(num_blocks, job.model.percent_streamed)
    )
    transformer = load_transformer(
        parts.transformer,
        dtype=DTYPES[job.training.data_type],
        device=device,
        quantization=job.quantization.transformer,
        progress=progress,
        home_of=home_of(streamed, num_double_blocks=variant.num_double_blocks, device=device),
        cache=job.quantization.weights_cache(folders.cache),
    )
    set_attention(transformer, job.model.attention_backend)
    drawing = load_drawing_parts(parts, vae_dtype=DTYPES[job.model.vae_data_type])
    pipeline = build_pipeline(variant, transformer, drawing)
    adapters: dict[int, str] = {}
    hooked: dict[int, list[_LoKrPart]] = {}
    for place, lora in enumerate(loras):
        if lora.kind == "lora":
            adapters[place] = f"lora-{place}"
            named = {f"transformer.{name}": value for name, value in lora.values().items()}
            pipeline.load_lora_weights(named, adapter_name=adapters[place])
        else:
            hooked[place] = _hook_lokr(transformer, lora, device=device)
    stream = manage_blocks(
        transformer, streamed=streamed, checkpointing=False, keeper=None, device=device
    )
    return DrawingModel(pipeline, stream, adapters, hooked)


def refuse_other_base(transformer: nn.Module, lora: LoraFile) -> None:
    """Raises BadLora for a layer that the model lacks, or has in another size."""
    shapes = {
        name: (linear.out_features, linear.in_features)
        for name, linear in transformer.named_modules()
        if isinstance(linear, nn.Linear)
    }
    for layer, factors in by_layer(lora.values()).items():
        found, expected = added_shape(factors), shapes.get(layer)
        if found == expected:
            continue
        fault = (
            "which this model does not have"
            if expected is None
            else f"as {list(found)}, and this model's is {list(expected)}"
        )
        raise BadLora(
            f"{lora.path} changes the layer {layer}, {fault}.",
            "It was trained on another model: `python -m trainer inspect` says which ones it fits.",
            code="lora_of_another_base",
            params={"layer": layer},
        )


class _LoKrPart:
    """What a LoKr adds to one layer's output; nothing at strength 0.

    w1 [a, b]; w2 as one matrix [c, d], or as [R, d] and [c, R], in the order in which they are
    multiplied.
    """

    def __init__(self, factors: Mapping[str, torch.Tensor], *, device: str) -> None:
        values = {name: value.to(device) for name, value in factors.items()}
        if "lokr_w1" in values:
            self._w1 = values["lokr_w1"]
        else:
            self._w1 = values["lokr_w1_a"].float() @ values["lokr_w1_b"].float()
        names = ("lokr_w2",) if "lokr_w2" in values else ("lokr_w2_b", "lokr_w2_a")
        self._w2 = [values[name] for name in names]
        self.strength = 0.0

    def __call__(self, _layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """As a forward hook: [..., in] was the input, [..., out] is the output."""
        if self.strength == 0:
            return None
        mapped = args[0].unflatten(-1, (self._w1.shape[1], -1))  # [..., b, d]
        for matrix in self._w2:
            mapped = functional.linear(mapped, matrix.to(mapped.dtype))  # [..., b, c]
        w1 = (self._w1.float() * self.strength).to(mapped.dtype)
        return output + functional.linear(mapped.mT, w1).mT.flatten(-2)


def _hook_lokr(transformer: nn.Module, lora: LoraFile, *, device: str) -> list[_LoKrPart]:
    parts = []
    for layer, factors in by_layer(lora.values()).items():
        part = _LoKrPart(factors, device=device)
        transformer.get_submodule(layer).register_forward_hook(part)
        parts.append(part)
    return parts
