"""The text encoder from disk, tensor by tensor, with the layers that are read and no others.

What is not read is not loaded: layers past the last hidden state (30 of 40 in dev, 27 of 36 in
klein: a quarter of the memory), the output head and the vision tower. The cut model ends in a norm
that belongs to the last layer of the whole one, so that norm becomes an identity; then the three
states are equal bit for bit to the whole model's, which a test holds.

The encoder is built without memory and filled as the transformer is (`model_filling.py`):
transformers' own loading brings all of a model into memory in its full precision, 48 GB for dev's
Mistral, before anything can be quantized. One thing in it is reckoned and not stored, the
frequencies of its position embedding; they are made where the model is to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from trainer.block_shares import num_streamed_blocks, streamed_blocks
from trainer.errors import BadModel
from trainer.kept_weights import kept_weights, load_kept
from trainer.model_filling import Keep, Progress, Storage, fill_model, stored_tensors
from trainer.offloading import BlockStream
from trainer.quantization_kinds import QuantizationKind
from trainer.variants import Variant
from trainer.weight_files import weight_files

_ENCODER_CLASSES = {
    "Flux2Pipeline": transformers.Mistral3ForConditionalGeneration,
    "Flux2KleinPipeline": transformers.Qwen3ForCausalLM,
}
# Under which of these a file keeps the language model depends on the version of transformers that
# saved it, and on whether it was saved alone.
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
_LAYERS = "layers."
_FIELD = "model.text_encoder_path"


def load_text_encoder(
    folder: Path,
    *,
    variant: Variant,
    dtype: torch.dtype,
    device: str,
    quantization: QuantizationKind,
    percent_streamed: float = 0.0,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Any:
    """The encoder up to the last hidden state that is read, frozen, on `device`.

    quantization: of the linear layers of its layers. percent_streamed: of its layers, which stay
    in host memory until they compute. cache: the folder that keeps quantized weights for the next
    start; None keeps nothing. Raises BadModel, OSError, ValueError.
    """
    num_layers = max(variant.text_encoder_out_layers)
    streamed = streamed_blocks(num_layers, num_streamed_blocks(num_layers, percent_streamed))
    on_host = tuple(f"{_LAYERS}{place}." for place in streamed)
    storage = Storage(
        kind=quantization,
        inside=(_LAYERS,),
        dtype=dtype,
        device=device,
        home_of=lambda name: "cpu" if name.startswith(on_host) else device,
    )
    kept = None
    if cache is not None:
        files = weight_files(folder)
        kept = kept_weights(cache, files, storage, part="text_encoder", num_layers=num_layers)
    built: list[Any] = []

    def build() -> nn.Module:
        built.append(empty_text_encoder(folder, variant=variant))
        return language_model(built[-1])

    def fill(inner: nn.Module, keep: Keep | None) -> None:
        fill_model(
            inner,
            _stored(folder, dict(inner.named_parameters())),
            storage,
            source=f"The text encoder in {folder}",
            field=_FIELD,
            progress=progress,
            keep=keep,
        )

    inner = load_kept(build, fill, storage, kept=kept, progress=progress)
    _make_frequencies(inner, device)
    if streamed:
        layers = list(inner.get_submodule("layers").children())
        BlockStream(layers, streamed=streamed, device=device)  # its hooks keep it alive
    return built[-1].requires_grad_(False).eval()


def empty_text_encoder(folder: Path, *, variant: Variant) -> Any:
    """The encoder's architecture without memory, cut after the last layer that is read.

    Raises BadModel, OSError, ValueError.
    """
    config: Any = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    expected = _ENCODER_CLASSES[variant.pipeline_class]
    if not isinstance(config, expected.config_class):
        raise BadModel(
            f"The text encoder in {folder} is a {config.model_type}; {variant.label} needs a "
            f"{expected.config_class.model_type}.",
            "dev reads Mistral-Small-3.2-24B, klein 4B Qwen3-4B, klein 9B Qwen3-8B.",
            field=_FIELD,
            params={"found": config.model_type},
        )
    text_config = config.get_text_config()
    num_layers = max(variant.text_encoder_out_layers)
    if text_config.num_hidden_layers < num_layers:
        raise BadModel(
            f"The text encoder in {folder} has {text_config.num_hidden_layers} layers; "
            f"{variant.label} reads the states after layer {num_layers}.",
            "Choose the Model Architecture that the folder holds, or another folder.",
            field="model.name_or_path",
        )
    text_config.num_hidden_layers = num_layers
    if getattr(text_config, "layer_types", None):
        text_config.layer_types = text_config.layer_types[:num_layers]
    with torch.device("meta"):
        encoder: Any = expected(config)
    language_model(encoder).norm = nn.Identity()
    encoder.lm_head = nn.Identity()
    if hasattr(encoder.model, "vision_tower"):
        encoder.model.vision_tower = None
        encoder.model.multi_modal_projector = None
    return encoder


def language_model(encoder: Any) -> nn.Module:
    """The stack of text layers: `layers` and `norm` are its children."""
    inner = encoder.model
    return inner.language_model if hasattr(inner, "language_model") else inner


def _stored(folder: Path, wanted: dict[str, nn.Parameter]) -> Iterator[tuple[str, torch.Tensor]]:
    """Those tensors of the files that the cut model has, by their names in it."""
    for name, tensor in stored_tensors(weight_files(folder), field=_FIELD):
        own = next(
            (name[len(p) :] for p in _PREFIXES if name.startswith(p) and name[len(p) :] in wanted),
            None,
        )
        if own is not None:
            yield own, tensor


def _make_frequencies(inner: nn.Module, device: str) -> None:
    """The position embedding's frequencies, float32 as the library makes them."""
    embedding: Any = inner.get_submodule("rotary_emb")
    with torch.device("cpu"):
        made = type(embedding)(config=embedding.config)
    inner.rotary_emb = made.to(device)
    unmade = [name for name, tensor in inner.named_buffers() if tensor.device.type == "meta"]
    assert not unmade, f"nothing makes {unmade}"
