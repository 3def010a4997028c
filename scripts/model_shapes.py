"""Write trainer/model_shapes.json: the sizes of the architectures' models, from the real classes.

The classes are built without memory (torch's meta device), with the sizes that the models on the
hub have; so every tensor's shape is the class's own and nobody's arithmetic. Called by `make types`
(generate.py); it needs torch, which the rest of that does not.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import nn
from transformers import (
    AutoConfig,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from trainer.model_shapes import (
    TABLE,
    ModelShapes,
    Shape,
    as_table,
    autoencoder_shapes,
    text_encoder_shapes,
    transformer_shapes,
)
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

# What the configurations on the hub say where the classes' defaults are another model's. dev is
# Flux2Transformer2DModel's default, and the autoencoder of all is AutoencoderKLFlux2's.
_TRANSFORMERS: dict[Architecture, dict[str, Any]] = {
    Architecture.FLUX2_DEV: {},
    Architecture.KLEIN_BASE_9B: {
        "num_layers": 8,
        "num_single_layers": 24,
        "num_attention_heads": 32,
        "joint_attention_dim": 12288,
        "guidance_embeds": False,
    },
    Architecture.KLEIN_BASE_4B: {
        "num_layers": 5,
        "num_single_layers": 20,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "guidance_embeds": False,
    },
}
_QWEN3: dict[str, Any] = {
    "vocab_size": 151936,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
_TEXT_ENCODERS: dict[Architecture, Any] = {
    # Mistral-Small-3.2-24B-Instruct: a text model and a Pixtral vision tower.
    Architecture.FLUX2_DEV: lambda: Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={
                "model_type": "mistral",
                "vocab_size": 131072,
                "hidden_size": 5120,
                "intermediate_size": 32768,
                "num_hidden_layers": 40,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "head_dim": 128,
            },
            vision_config={
                "model_type": "pixtral",
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "head_dim": 64,
                "patch_size": 14,
                "image_size": 1540,
            },
            spatial_merge_size=2,
            tie_word_embeddings=False,
        )
    ),
    Architecture.KLEIN_BASE_9B: lambda: Qwen3ForCausalLM(
        Qwen3Config(hidden_size=4096, intermediate_size=12288, tie_word_embeddings=False, **_QWEN3)
    ),
    Architecture.KLEIN_BASE_4B: lambda: Qwen3ForCausalLM(
        Qwen3Config(hidden_size=2560, intermediate_size=9728, tie_word_embeddings=True, **_QWEN3)
    ),
}


def shapes_text() -> str:
    """The table as it is written."""
    table = {}
    for architecture, variant in VARIANTS.items():
        sized_as = variant.distilled_from or architecture
        table[architecture.value] = as_table(_shapes(sized_as))
    return json.dumps(table, indent=1) + "\n"


def _shapes(architecture: Architecture) -> ModelShapes:
    with torch.device("meta"):
        transformer = build_transformer(architecture)
        text_encoder = _build_text_encoder(architecture)
        autoencoder = build_autoencoder(architecture)
    num_layers = max(VARIANTS[architecture].text_encoder_out_layers)
    return ModelShapes(
        transformer_shapes(tensors_of(transformer)),
        text_encoder_shapes(tensors_of(text_encoder), num_layers=num_layers),
        autoencoder_shapes(tensors_of(autoencoder)),
    )


def build_transformer(architecture: Architecture, **sizes: Any) -> Flux2Transformer2DModel:
    """A base model's transformer with fresh weights, on torch's default device. sizes: by their
    names in its configuration, those that are to differ.
    """
    if architecture is Architecture.TINY:
        own: Any = Flux2Transformer2DModel.load_config(BUNDLED_TINY_FOLDER / "transformer")
    else:
        own = _TRANSFORMERS[architecture]
    built: Any = Flux2Transformer2DModel.from_config({**own, **sizes})
    return built


def build_autoencoder(architecture: Architecture) -> AutoencoderKLFlux2:
    """The same for its autoencoder."""
    if architecture is not Architecture.TINY:
        return AutoencoderKLFlux2()
    own: Any = AutoencoderKLFlux2.load_config(BUNDLED_TINY_FOLDER / "vae")
    built: Any = AutoencoderKLFlux2.from_config(own)
    return built


def _build_text_encoder(architecture: Architecture) -> nn.Module:
    if architecture is not Architecture.TINY:
        return _TEXT_ENCODERS[architecture]()
    own: Any = AutoConfig.from_pretrained(
        BUNDLED_TINY_FOLDER / "text_encoder", local_files_only=True
    )
    return Mistral3ForConditionalGeneration(own)


def tensors_of(module: nn.Module) -> dict[str, Shape]:
    """A module's tensors as a file would hold them: tied ones once."""
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


if __name__ == "__main__":
    TABLE.write_text(shapes_text(), encoding="utf-8")
