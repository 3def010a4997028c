"""A real Flux2Transformer2DModel small enough to differentiate in float64 within milliseconds."""

from __future__ import annotations

import torch
from diffusers import Flux2Transformer2DModel

JOINT_DIM = 24


def mini_transformer(
    dtype: torch.dtype = torch.float64,
    *,
    guidance_embeds: bool = True,
    num_double: int = 1,
    num_single: int = 1,
    num_heads: int = 2,
) -> Flux2Transformer2DModel:
    """Heads of 16 channels, random weights (the same at every call).

    guidance_embeds: as in dev and the bundled model; without, as in klein.
    """
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=num_double,
        num_single_layers=num_single,
        attention_head_dim=16,
        num_attention_heads=num_heads,
        joint_attention_dim=JOINT_DIM,
        timestep_guidance_channels=32,
        mlp_ratio=2.0,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:  # the norms' scales stay at 1
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.15)
    return transformer.to(dtype).requires_grad_(False).eval()
