"""Judges pictures that no loss has seen: is the style there, is the caption obeyed, is the rest
kept?

A falling loss proves nothing about pictures, so tests and the model card ask this judge. Style is
judged by a small convolutional network that `train_judge.py` trains on procedural pictures, both as
drawn and after a trip through the autoencoder: what it tells apart is the style, not the
autoencoder's blur. Whether the caption is obeyed is read off the picture by geometry
(`reading.py`). Scenes come from a seed that no training of the model uses.

Shapes: B pictures of 3x128x128 in -1..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from trainer.tiny_flux2.captions import plain_caption
from trainer.tiny_flux2.reading import read_picture
from trainer.tiny_flux2.styles import STYLES
from trainer.tiny_flux2.world import PICTURE_SIZE_PX, Scene, scene_at

WEIGHTS_FILE = Path(__file__).parent / "judge.safetensors"
STYLE_NAMES = ("plain", *STYLES)
# Neither the model, the example dataset nor the judge was trained on scenes of this seed.
HELD_OUT_SEED = 1_000_003


def held_out_scenes(num_scenes: int, *, num_objects: int | None = None) -> list[Scene]:
    """Scenes that nothing was trained on; with `num_objects` only those that hold as many."""
    chosen: list[Scene] = []
    index = 0
    while len(chosen) < num_scenes:
        scene = scene_at(HELD_OUT_SEED, index)
        index += 1
        if num_objects in (None, len(scene.objects)):
            chosen.append(scene)
    return chosen


def held_out_prompts(num_prompts: int, *, trigger: str | None = None) -> list[str]:
    """Plain captions of held-out scenes, each led by `trigger` and a comma where one is given."""
    lead = f"{trigger}, " if trigger else ""
    return [lead + plain_caption(scene) for scene in held_out_scenes(num_prompts)]


def style_probability(pictures: Sequence[Image.Image], style: str = "hatch") -> list[float]:
    """For each picture, how sure the judge is that it is drawn in `style` ("hatch", "neon" or
    "plain").

    Raises ValueError for a style that the judge does not know.
    """
    if style not in STYLE_NAMES:
        raise ValueError(f"The judge does not know '{style}'. Use one of {', '.join(STYLE_NAMES)}.")
    return _judge()(_to_tensor(pictures)).softmax(dim=1)[:, STYLE_NAMES.index(style)].tolist()


def preservation_rmse(
    pictures: Sequence[Image.Image], base_pictures: Sequence[Image.Image]
) -> float:
    """How far pictures moved from the base model's of the same prompts and seeds.

    The root of the mean squared difference over all pixels and channels, in grey levels of 255.
    """
    if len(pictures) != len(base_pictures):
        raise ValueError(
            f"{len(pictures)} pictures cannot be compared with {len(base_pictures)}. "
            "Give one base picture for each, in the same order."
        )
    difference = (_to_tensor(pictures) - _to_tensor(base_pictures)) * 127.5
    return difference.square().mean().sqrt().item()


@dataclass(frozen=True)
class Quality:
    """Shares in 0..1 over the pictures that were judged; NaN where no picture could tell.

    colour and shape: of the largest piece, over scenes with one object. two_objects: both there,
    each with its own shape and colour. background: over all scenes. A shape counts only if it is
    well formed.
    """

    colour: float
    shape: float
    two_objects: float
    background: float


def measure_quality(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> Quality:
    """How often pictures show what their scenes hold."""
    colour, shape, two_objects, background = [], [], [], []
    for picture, scene in zip(pictures, scenes, strict=True):
        seen = read_picture(picture)
        background.append(seen.background == scene.background)
        pieces = seen.pieces[: len(scene.objects)]
        if len(scene.objects) == 2:
            shown = {(each.shape, each.colour) for each in pieces if each.is_well_formed}
            two_objects.append(shown == {(each.shape, each.colour) for each in scene.objects})
        else:
            (only,) = scene.objects
            colour.append(any(each.colour == only.colour for each in pieces))
            shape.append(any(each.shape == only.shape and each.is_well_formed for each in pieces))
    return Quality(_share(colour), _share(shape), _share(two_objects), _share(background))


class StyleNetwork(nn.Module):
    """Three convolutions and a linear read-out of their mean: pictures (B, 3, H, W) to logits (B,
    3).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(3, 16, kernel_size=5),
            *_convolution(16, 32, kernel_size=3),
            *_convolution(32, 48, kernel_size=3),
        )
        self.style = nn.Linear(48, len(STYLE_NAMES))

    def forward(self, pictures: Tensor) -> Tensor:
        # Half the side: no stroke of any style is finer than 8 px.
        features = self.trunk(functional.avg_pool2d(pictures, 2))
        return self.style(features.mean(dim=(2, 3)))


def _convolution(channels_in: int, channels_out: int, *, kernel_size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(
        channels_in, channels_out, kernel_size, stride=2, padding=kernel_size // 2, bias=False
    )
    return convolution, nn.BatchNorm2d(channels_out), nn.ReLU()


@cache
def _judge() -> StyleNetwork:
    network = StyleNetwork()
    network.load_state_dict(load_file(WEIGHTS_FILE))
    return network.eval().requires_grad_(False)


def _to_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """RGB pictures as (B, 3, 128, 128) in -1..1; other sizes are scaled."""
    side = (PICTURE_SIZE_PX, PICTURE_SIZE_PX)
    arrays = [np.asarray(picture.convert("RGB").resize(side), np.float32) for picture in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def _share(outcomes: list[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else float("nan")
