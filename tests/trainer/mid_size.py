"""A transformer of the real class between toy and dev: 155 million random weights, 310 MB in bf16.

Large enough that what a load keeps too long shows beside the interpreter's own memory, small enough
to be written and read within seconds.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import Flux2Transformer2DModel

JOINT_DIM = 1536
NUM_DOUBLE_BLOCKS = 2
NUM_SINGLE_BLOCKS = 6


def save_mid_size_transformer(folder: Path) -> None:
    """Write the model in bf16 as a folder in Diffusers layout, in shards of 100 MB."""
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel(
            in_channels=128,
            num_layers=NUM_DOUBLE_BLOCKS,
            num_single_layers=NUM_SINGLE_BLOCKS,
            attention_head_dim=128,
            num_attention_heads=8,
            joint_attention_dim=JOINT_DIM,
            axes_dims_rope=(32, 32, 32, 32),
            guidance_embeds=True,
        )
    transformer = transformer.to(torch.bfloat16).to_empty(device="cpu")
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=draw)
            else:
                parameter.fill_(1)
    transformer.save_pretrained(folder, max_shard_size="100MB")
