"""Prompts to embeddings, by the pipeline's own function; only the layers that it reads are loaded.

Legend: T = text rows (512; tiny 48), D = 3 x the encoder's hidden size.

A prompt goes through the chat template (dev with its system message, klein with thinking off), is
padded and cut to T tokens, and three hidden states are stacked on the feature axis. All of that is
`encode_prompt` of the variant's pipeline in Diffusers, which is called here with the variant's
layers and length: whatever inference does to a prompt, training does too.

What is not read is not loaded: layers past the last hidden state (30 of 40 in dev, 27 of 36 in
klein: a quarter of the memory), the output head and the vision tower. The cut model ends in a norm
that belongs to the last layer of the whole one, so that norm becomes an identity; then the three
states are equal bit for bit to the whole model's, which a test holds.

In a batch, matrix products may round differently than alone: how many prompts share a pass is
settled in `encoding_passes.py`, so that a cached embedding does not depend on which others were
missing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError
from torch import nn

from trainer.errors import BadModel
from trainer.model_parts import part_of, tokenizer_beside
from trainer.quantization import quantize_linears
from trainer.variants import Variant
from trainer.weight_files import as_transformers_finds_them

_ENCODER_CLASSES = {
    "Flux2Pipeline": transformers.Mistral3ForConditionalGeneration,
    "Flux2KleinPipeline": transformers.Qwen3ForCausalLM,
}


# Parts whose weights nobody reads; a copy of the language model alone may come without them.
_NOT_READ = ("lm_head", "vision_tower", "multi_modal_projector")


@dataclass(frozen=True)
class PromptEncoder:
    """A text encoder with its tokenizer, in the shell of its pipeline."""

    pipeline: Any
    variant: Variant
    dtype: torch.dtype
    device: str

    def encode(self, text: str) -> torch.Tensor:
        """[T, D]: what the pipeline feeds the transformer for this prompt."""
        return self.encode_all([text])[0]

    @torch.no_grad()
    def encode_all(self, texts: list[str]) -> torch.Tensor:
        """[B, T, D]: the same for several prompts in one forward pass."""
        embeddings, _ids = self.pipeline.encode_prompt(
            prompt=texts,
            device=torch.device(self.device),
            max_sequence_length=self.variant.max_sequence_length,
            text_encoder_out_layers=self.variant.text_encoder_out_layers,
        )
        return embeddings.to(self.dtype)


def load_prompt_encoder(
    path: Path,
    *,
    tokenizer: Path | None = None,
    variant: Variant,
    dtype: torch.dtype,
    device: str,
    quantization: str,
) -> PromptEncoder:
    """The text encoder in `path`, a folder of its own or a pipeline's. Raises BadModel.

    tokenizer: its folder; None takes the one in the encoder's folder, or beside it.
    quantization: "none" or "float8", for the linear layers of the encoder's blocks.
    """
    folder = part_of(path, "text_encoder")
    tokenizer_folder = tokenizer or tokenizer_beside(folder)
    if tokenizer_folder is None:
        raise BadModel(
            f"There is no tokenizer in {folder}, nor beside it.",
            "Put tokenizer.json and tokenizer_config.json there, as on the hub.",
            field="model.text_encoder_path",
        )
    try:
        # A plain tokenizer also where the pipeline names PixtralProcessor: that one wants
        # torchvision for pictures, which no prompt here has, and its text goes the same way.
        loaded_tokenizer = transformers.AutoTokenizer.from_pretrained(
            tokenizer_folder, local_files_only=True
        )
        with as_transformers_finds_them(folder) as found:
            encoder = _load_encoder(found, folder, variant=variant, dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadModel(
            f"The text encoder in {folder} cannot be loaded: {error}",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error

    _leave_out_what_is_not_read(encoder)
    if quantization == "float8":
        _quantize_on(device, _language_model(encoder))
    encoder = encoder.to(device).requires_grad_(False).eval()
    pipeline_class = getattr(diffusers, variant.pipeline_class)
    pipeline = pipeline_class(
        scheduler=None, vae=None, text_encoder=encoder, tokenizer=loaded_tokenizer, transformer=None
    )
    return PromptEncoder(pipeline, variant, dtype, device)


def _load_encoder(found: Path, folder: Path, *, variant: Variant, dtype: torch.dtype) -> Any:
    """The encoder with the layers up to the last hidden state that is read.

    found: where transformers finds the files; folder: where they are, for messages.
    """
    config: Any = transformers.AutoConfig.from_pretrained(found, local_files_only=True)
    expected = _ENCODER_CLASSES[variant.pipeline_class]
    if not isinstance(config, expected.config_class):
        raise BadModel(
            f"The text encoder in {folder} is a {config.model_type}; {variant.label} needs a "
            f"{expected.config_class.model_type}.",
            "dev reads Mistral-Small-3.2-24B, klein 4B Qwen3-4B, klein 9B Qwen3-8B.",
            field="model.text_encoder_path",
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
    # The library reports the layers left out as unexpected, in a table of thousands of lines.
    with _quiet("transformers"):
        encoder, report = expected.from_pretrained(
            found,
            config=config,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    # What a file lacks is filled with random numbers: never train on those.
    lacking = sorted(
        key for key in report["missing_keys"] if not any(part in key for part in _NOT_READ)
    )
    if lacking:
        raise BadModel(
            f"The text encoder in {folder} lacks {len(lacking)} tensors, the first is "
            f"{lacking[0]!r}.",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
            params={"missing": lacking},
        )
    return encoder


def _leave_out_what_is_not_read(encoder: Any) -> None:
    _language_model(encoder).norm = nn.Identity()
    encoder.lm_head = nn.Identity()
    if hasattr(encoder.model, "vision_tower"):
        encoder.model.vision_tower = None
        encoder.model.multi_modal_projector = None


def _language_model(encoder: Any) -> nn.Module:
    """The stack of text layers: `layers` and `norm` are its children."""
    inner = encoder.model
    return inner.language_model if hasattr(inner, "language_model") else inner


def _quantize_on(device: str, language_model: nn.Module) -> None:
    """Move and quantize layer by layer, so that the device never holds the unquantized whole."""
    layers = language_model.get_submodule("layers")
    for name, layer in layers.named_children():
        layer.to(device)
        quantize_linears(layers, inside=(name,))


class _quiet:
    """Errors only from a library's loggers within the block."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._level = self._logger.level

    def __enter__(self) -> None:
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)
