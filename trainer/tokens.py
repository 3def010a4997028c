"""Latents as the transformer takes them: a row of tokens, each with its place.

Legend: B = batch, C = 128 channels, h and w = latent sides, L = h * w image tokens, T = text rows.
R = tokens of all reference pictures.
Places are (t, h, w, l): image token (0, i, j, 0), token of reference n (10 + 10 n, i, j, 0), text
row (0, 0, 0, k). The values are those of Diffusers' pipeline, which a test compares with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

REFERENCE_SPACING = 10  # of references on the t axis; the model was trained so


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] -> [B, L, C], row by row."""
    return latents.flatten(2).transpose(1, 2)


def image_ids(height: int, width: int) -> torch.Tensor:
    """Places of the image tokens: int64 [L, 4]."""
    ids = torch.zeros(height, width, 4, dtype=torch.int64)
    ids[..., 1] = torch.arange(height)[:, None]
    ids[..., 2] = torch.arange(width)[None, :]
    return ids.flatten(0, 1)


def reference_ids(sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Places of the tokens of reference pictures of (h, w) each, one after another: int64 [R, 4].

    Reference n, counted from 0, lies at t = 10 + 10 n, so that the model tells it from the picture
    (t = 0) and from the other references.
    """
    parts = []
    for number, (height, width) in enumerate(sizes):
        ids = image_ids(height, width)
        ids[:, 0] = REFERENCE_SPACING * (number + 1)
        parts.append(ids)
    return torch.cat(parts) if parts else torch.zeros(0, 4, dtype=torch.int64)


def text_ids(num_rows: int) -> torch.Tensor:
    """Places of the text rows: int64 [T, 4]."""
    ids = torch.zeros(num_rows, 4, dtype=torch.int64)
    ids[:, 3] = torch.arange(num_rows)
    return ids
