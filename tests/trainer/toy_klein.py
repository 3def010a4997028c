"""A klein pipeline of the real classes, as small as its block and layer counts allow."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from torch import nn
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from trainer.model_loading import load_drawing_parts
from trainer.model_parts import parts_of_pipeline
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

HIDDEN = 16


def save_toy_klein(folder: Path) -> None:
    """Write an untrained klein base 4B to `folder`: 5 double and 20 single blocks of width 32.

    Tokenizer and autoencoder are the bundled model's.
    """
    torch.manual_seed(0)
    variant = VARIANTS[Architecture.KLEIN_BASE_4B]
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_TINY_FOLDER / "tokenizer")
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=32,
            num_hidden_layers=max(variant.text_encoder_out_layers) + 1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=16,
            tie_word_embeddings=True,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=variant.num_double_blocks,
        num_single_layers=variant.num_single_blocks,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * HIDDEN,
        timestep_guidance_channels=32,
        mlp_ratio=2.0,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.15)
    parts = load_drawing_parts(
        parts_of_pipeline(BUNDLED_TINY_FOLDER, Architecture.TINY), vae_dtype=torch.float32
    )
    pipeline = Flux2KleinPipeline(
        scheduler=parts.scheduler,
        vae=parts.autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.save_pretrained(folder)
