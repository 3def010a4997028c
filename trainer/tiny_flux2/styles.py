"""Styles that the bundled model has never seen, for teaching it one with a LoRA.

Each function draws the same scene as `world.render`, with the same objects at the same places, in
another hand. Strokes are at least 8 px wide, since the autoencoder loses anything under about 6 px.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from trainer.tiny_flux2.world import (
    COLOURS,
    PICTURE_SIZE_PX,
    Scene,
    background_pixels,
    object_mask,
    to_picture,
)

HATCH_PERIOD_PX = 16


def render_hatch(scene: Scene) -> Image.Image:
    """Diagonal hatching everywhere: objects fall to the right, the ground falls to the left."""
    row, column = np.mgrid[0:PICTURE_SIZE_PX, 0:PICTURE_SIZE_PX].astype(np.float32)
    ground = background_pixels(scene.background)
    # The ground's strokes go towards the opposite end of the grey scale, so they show on any
    # ground.
    away = np.where(ground.mean(axis=(0, 1)) > 110, 0.0, 255.0).astype(np.float32)
    picture = _blend(ground, ground * 0.55 + away * 0.45, _strokes(row + column))
    for scene_object in scene.objects:
        colour = np.array(COLOURS[scene_object.colour], dtype=np.float32)
        hatched = _blend(colour, colour * 0.25 + 255 * 0.75, _strokes(row - column))
        picture = _blend(picture, hatched, object_mask(scene_object)[..., None])
    return to_picture(picture)


def render_neon(scene: Scene) -> Image.Image:
    """Glowing outlines in the object's colour on a night-black ground."""
    picture = np.full((PICTURE_SIZE_PX, PICTURE_SIZE_PX, 3), (12.0, 8.0, 24.0), dtype=np.float32)
    for scene_object in scene.objects:
        colour = np.array(COLOURS[scene_object.colour], dtype=np.float32)
        outside = object_mask(scene_object, radius_factor=1.1)
        inside = object_mask(scene_object, radius_factor=0.72)
        tube = np.clip(outside - inside, 0, 1)
        glow = Image.fromarray((tube * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(9))
        picture = picture + colour * (np.asarray(glow, dtype=np.float32) / 255 * 0.9)[..., None]
        picture = _blend(picture, colour * 0.5 + 127, tube[..., None])
    return to_picture(picture)


STYLES: dict[str, Callable[[Scene], Image.Image]] = {
    "hatch": render_hatch,
    "neon": render_neon,
}


def _strokes(distance_px: np.ndarray) -> np.ndarray:
    """Soft-edged strokes half a period wide across `distance_px` (H, W); (H, W, 1) in 0..1."""
    wave = np.sin(distance_px / np.sqrt(2) * (2 * np.pi / HATCH_PERIOD_PX))
    return np.clip(wave * 3 + 0.5, 0, 1).astype(np.float32)[..., None]


def _blend(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below * (1 - share) + above * share
