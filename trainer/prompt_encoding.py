"""Prompts to embeddings, by the pipeline's own function.

Legend: T = text rows (512; tiny 48), D = 3 x the encoder's hidden size.

A prompt goes through the chat template (dev with its system message, klein with thinking off), is
padded and cut to T tokens, and three hidden states are stacked on the feature axis. All of that is
`encode_prompt` of the variant's pipeline in Diffusers, which is called here with the variant's
layers and length: whatever inference does to a prompt, training does too.

In a batch, matrix products may round differently than alone: how many prompts share a pass is
settled in `encoding_passes.py`, so that a cached embedding does not depend on which others were
missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from trainer.errors import BadModel
from trainer.model_filling import Progress
from trainer.model_parts import part_of, tokenizer_beside
from trainer.quantization_kinds import QuantizationKind
from trainer.text_encoder_loading import load_text_encoder
from trainer.variants import Variant


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
    quantization: QuantizationKind,
    percent_streamed: float = 0.0,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> PromptEncoder:
    """The text encoder in `path`, a folder of its own or a pipeline's. Raises BadModel.

    tokenizer: its folder; None takes the one in the encoder's folder, or beside it.
    quantization: of the linear layers of the encoder's layers. percent_streamed: of its layers,
    from host memory. cache: the folder that keeps quantized weights for the next start; None keeps
    nothing. progress: tensors done, of all.
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
        encoder = load_text_encoder(
            folder,
            variant=variant,
            dtype=dtype,
            device=device,
            quantization=quantization,
            percent_streamed=percent_streamed,
            cache=cache,
            progress=progress,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadModel(
            f"The text encoder in {folder} cannot be loaded: {error}",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error

    pipeline_class = getattr(diffusers, variant.pipeline_class)
    pipeline = pipeline_class(
        scheduler=None, vae=None, text_encoder=encoder, tokenizer=loaded_tokenizer, transformer=None
    )
    return PromptEncoder(pipeline, variant, dtype, device)
