"""One picture from any LoRA file, at any strength, outside of a training.

The way is a run's own: the prompts are encoded by a child that goes away, then the transformer
loads, then the Diffusers pipeline draws. A LoRA goes in through Diffusers' loader, whatever names
its file has; a LoKr, whose factor that loader has to guess from the sizes and cannot for every
program's files, is added to the weights themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import nn

from trainer.caching import Slot, content_key
from trainer.encoding_plan import EncodingPlan, PromptTask
from trainer.encoding_process import run_child
from trainer.errors import BadLora
from trainer.lora_factors import LORA_A, LORA_B, added_weight
from trainer.lora_merge import added_shape
from trainer.lora_reading import LoraFile
from trainer.model_loading import empty_transformer, load_drawing_parts, load_transformer
from trainer.model_parts import ModelParts
from trainer.quantization_kinds import QuantizationKind
from trainer.sampling import Pipeline, SampleRequest, build_pipeline, draw
from trainer.variants import VARIANTS

_ADAPTER_NAME = "drawn"
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def draw_with_lora(
    request: SampleRequest,
    *,
    parts: ModelParts,
    lora: LoraFile | None,
    references: list[Image.Image],
    data_type: Literal["bf16", "fp32"],
    vae_data_type: Literal["bf16", "fp32"],
    quantization: QuantizationKind,
    device: str,
    cache: Path | None,
    progress: Callable[[int, int, str], None],
) -> Image.Image:
    """The picture that `request` asks for; without a LoRA, the base model's.

    cache: the folder that keeps quantized weights; None keeps nothing. progress: takes units done,
    units in all and what is worked on. Raises BadModel, BadLora, OutOfMemory, ChildFailed.
    """
    variant = VARIANTS[parts.architecture]
    if lora is not None:
        _refuse_other_base(empty_transformer(parts.transformer), lora)
    texts = [request.prompt]
    texts += [request.negative_prompt] if request.negative_prompt is not None else []
    embeds = _encode(
        texts,
        parts=parts,
        data_type=data_type,
        vae_data_type=vae_data_type,
        quantization=quantization,
        device=device,
        cache=cache,
        progress=progress,
    )
    transformer = load_transformer(
        parts.transformer,
        dtype=_DTYPES[data_type],
        device=device,
        quantization=quantization,
        progress=lambda done, total: progress(done, total, "loading the transformer"),
        cache=cache,
    )
    drawing = load_drawing_parts(parts, vae_dtype=_DTYPES[vae_data_type])
    pipeline = build_pipeline(variant, transformer, drawing)
    if lora is not None:
        _put_in(pipeline, lora, strength=request.lora_strength)
    progress(0, 1, "drawing")
    picture = draw(
        pipeline,
        request,
        variant=variant,
        prompt_embeds=embeds[0],
        negative_embeds=None if request.negative_prompt is None else embeds[1],
        references=references,
        stop_requested=lambda: False,
    )
    assert picture is not None, "nobody asked to stop"
    return picture


def _encode(
    texts: list[str],
    *,
    parts: ModelParts,
    data_type: Literal["bf16", "fp32"],
    vae_data_type: Literal["bf16", "fp32"],
    quantization: QuantizationKind,
    device: str,
    cache: Path | None,
    progress: Callable[[int, int, str], None],
) -> list[torch.Tensor]:
    """[T, D] for each text, by the encoding child."""
    with tempfile.TemporaryDirectory(prefix="darkroom-prompts-") as folder:
        slots = [Slot(Path(folder), content_key(text=text)) for text in texts]
        tasks = {text: PromptTask(text, slot) for text, slot in zip(texts, slots, strict=True)}
        plan = EncodingPlan(
            architecture=parts.architecture.value,
            autoencoder=parts.autoencoder.absolute(),
            text_encoder=parts.text_encoder.absolute(),
            tokenizer=parts.tokenizer.absolute(),
            device=device,
            data_type=data_type,
            vae_data_type=vae_data_type,
            quantization=quantization,
            pictures=(),
            prompts=tuple(tasks.values()),
            weights_cache=cache,
        )
        run_child(plan, tick=progress, stop_requested=lambda: False)
        return [slot.read() for slot in slots]


def _put_in(pipeline: Pipeline, lora: LoraFile, *, strength: float) -> None:
    """The LoRA at its strength. Raises BadLora."""
    if lora.kind == "lora":
        named = {f"transformer.{name}": value for name, value in lora.values().items()}
        pipeline.load_lora_weights(named, adapter_name=_ADAPTER_NAME)
        pipeline.set_adapters(_ADAPTER_NAME, strength)
        return
    for layer, factors in _layers(lora).items():
        _add(pipeline.transformer, layer, factors, strength)


def _layers(lora: LoraFile) -> dict[str, dict[str, torch.Tensor]]:
    """The factors of each layer, by Diffusers' names."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in lora.values().items():
        layer, factor = _layer_and_factor(name)
        layers.setdefault(layer, {})[factor] = value
    return layers


def _layer_and_factor(name: str) -> tuple[str, str]:
    """A factor of a LoRA has a dot in its name, `lora_A.weight`; one of a LoKr has none."""
    for factor in (LORA_A, LORA_B):
        if name.endswith(f".{factor}"):
            return name.removesuffix(f".{factor}"), factor
    layer, _, factor = name.rpartition(".")
    return layer, factor


def _refuse_other_base(transformer: nn.Module, lora: LoraFile) -> None:
    """Raises BadLora for a layer that the model lacks, or has in another size."""
    shapes = {
        name: (linear.out_features, linear.in_features)
        for name, linear in transformer.named_modules()
        if isinstance(linear, nn.Linear)
    }
    for layer, factors in _layers(lora).items():
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


@torch.no_grad()
def _add(
    transformer: nn.Module, layer: str, factors: Mapping[str, torch.Tensor], strength: float
) -> None:
    linear = transformer.get_submodule(layer)
    if type(linear) is not nn.Linear:
        raise BadLora(
            "A LoKr is added to the weights, and these are quantized.",
            "Give --quantization none.",
            code="lokr_on_quantized",
        )
    added = added_weight(factors).to(linear.weight.device) * strength
    linear.weight.copy_((linear.weight.float() + added).to(linear.weight.dtype))
