"""Stage 2: the training scenes as latents, computed once.

The transformer never sees a pixel, so each scene passes the frozen encoder once. Beside its latent
each scene keeps two things that only the training's auxiliary losses use: which coloured shapes it
holds, and a coarse mask of where they are.

There are two sets, for the two courses of stage 3: scenes as the world has them, and fresh scenes
of which most hold two objects.

Shapes: N scenes, 128 channels of 8x8 tokens; a token covers 16 px, and the mask has 4x4 cells a
token.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.tiny_flux2.train_autoencoder import encode, to_unit_range
from trainer.tiny_flux2.world import (
    BACKGROUNDS,
    COLOURS,
    PICTURE_SIZE_PX,
    SHAPES,
    Scene,
    object_mask,
    render,
    scene_at,
)

_log = logging.getLogger(__name__)

NUM_SCENES = 10_240
# The second course's scenes are the pairs among these later indices, and a few single objects.
PAIR_SCENES = range(NUM_SCENES, 2 * NUM_SCENES)
ONE_SINGLE_IN = 4
TOKEN_SIZE_PX = 16
CELLS_PER_TOKEN_SIDE = 4
NUM_SHAPE_COLOUR_PAIRS = len(SHAPES) * len(COLOURS)


@dataclass(frozen=True)
class LatentCache:
    """scene_indices (N,), for `scene_at`; latents (N, 64, 128), normalised; masks (N, 64, 16) in
    0..1; pairs (N, 64) of 0 or 1; grounds (N,), numbers of backgrounds.
    """

    scene_indices: Tensor
    latents: Tensor
    masks: Tensor
    pairs: Tensor
    grounds: Tensor


def world_scenes() -> list[int]:
    """The indices of the scenes of the first course: as the world has them."""
    return list(range(NUM_SCENES))


def pair_scenes(seed: int) -> list[int]:
    """The indices of the scenes of the second course: about seven in ten hold two objects."""
    return [
        index
        for index in PAIR_SCENES
        if index % ONE_SINGLE_IN == 0 or len(scene_at(seed, index).objects) == 2
    ]


def load_or_encode(
    file: Path, autoencoder: AutoencoderKLFlux2, *, seed: int, scene_indices: list[int]
) -> LatentCache:
    """Read `file`, or encode these scenes of `seed` and write it."""
    if not file.exists():
        unfinished = file.with_suffix(".writing")
        save_file(_encode_scenes(autoencoder, seed, scene_indices), unfinished)
        unfinished.replace(file)
    stored = load_file(file)
    return LatentCache(
        scene_indices=torch.tensor(scene_indices),
        latents=stored["latents"].float(),
        masks=stored["masks"].float() / 255,
        pairs=stored["pairs"].float(),
        grounds=stored["grounds"],
    )


def shape_colour_pair(shape: str, colour: str) -> int:
    """The index of a shape and colour among the 64 pairs."""
    return SHAPES.index(shape) * len(COLOURS) + list(COLOURS).index(colour)


def scene_pairs(scene: Scene) -> Tensor:
    """Which of the 64 pairs of shape and colour the scene holds, as uint8 (64,)."""
    held = torch.zeros(NUM_SHAPE_COLOUR_PAIRS, dtype=torch.uint8)
    for each in scene.objects:
        held[shape_colour_pair(each.shape, each.colour)] = 1
    return held


def _encode_scenes(
    autoencoder: AutoencoderKLFlux2, seed: int, scene_indices: list[int]
) -> dict[str, Tensor]:
    scenes = [scene_at(seed, index) for index in scene_indices]
    latents = []
    with torch.inference_mode():
        for start in range(0, len(scenes), 32):
            pictures = [np.asarray(render(scene)) for scene in scenes[start : start + 32]]
            pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            packed = encode(autoencoder, to_unit_range(pixels))  # (32, 128, 8, 8)
            latents.append(packed.flatten(2).mT.to(torch.bfloat16).contiguous())
            if start % 2048 == 0:
                _log.info(f"latents {start}/{len(scenes)}")
    grounds = [list(BACKGROUNDS).index(scene.background) for scene in scenes]
    return {
        "latents": torch.cat(latents),
        "masks": torch.stack([_token_mask(scene) for scene in scenes]),
        "pairs": torch.stack([scene_pairs(scene) for scene in scenes]),
        "grounds": torch.tensor(grounds),
    }


def _token_mask(scene: Scene) -> Tensor:
    """The share of each cell that any object covers, as uint8 (64 tokens, 16 cells)."""
    covered = np.maximum.reduce([object_mask(each) for each in scene.objects])
    cells = CELLS_PER_TOKEN_SIDE
    tokens, cell_px = PICTURE_SIZE_PX // TOKEN_SIZE_PX, TOKEN_SIZE_PX // cells
    shares = covered.reshape(tokens, cells, cell_px, tokens, cells, cell_px).mean(axis=(2, 5))
    by_token = shares.transpose(0, 2, 1, 3).reshape(tokens * tokens, cells * cells)
    return torch.from_numpy((by_token * 255).round().astype(np.uint8))
