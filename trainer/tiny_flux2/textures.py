"""Generic pictures for the autoencoder, so that it can also draw what the world does not contain.

A LoRA teaches the transformer a new style, but only the autoencoder puts it on the canvas: one that
had seen nothing but flat shapes could not draw strokes, glows or tiles. Each texture is a function
of `(seed, index)`. Nothing here has a caption, and the transformer never sees it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trainer.tiny_flux2.world import PICTURE_SIZE_PX, to_picture

SMALLEST_STROKE_PX = 6


def texture_at(seed: int, index: int) -> Image.Image:
    """Two random colour fields, joined by a pattern of strokes, checks, blobs or the like."""
    rng = np.random.default_rng([seed, index, 2])
    share = _PATTERNS[int(rng.integers(len(_PATTERNS)))](rng)[..., None]
    return to_picture(_colour_field(rng) * (1 - share) + _colour_field(rng) * share)


def _colour_field(rng: np.random.Generator) -> np.ndarray:
    """A flat colour or a linear gradient: float32 (H, W, 3) in 0..255."""
    start, stop = rng.uniform(0, 255, size=(2, 3)).astype(np.float32)
    if rng.random() < 0.6:
        stop = start
    along = _ramp(rng)[..., None]
    return start * (1 - along) + stop * along


def _ramp(rng: np.random.Generator) -> np.ndarray:
    ramp = _across(rng)
    return (ramp - ramp.min()) / (ramp.max() - ramp.min())


def _across(rng: np.random.Generator) -> np.ndarray:
    """Distance in pixels along a random direction: (H, W)."""
    row, column = np.mgrid[0:PICTURE_SIZE_PX, 0:PICTURE_SIZE_PX].astype(np.float32)
    angle = float(rng.uniform(0, np.pi))
    return row * np.float32(np.sin(angle)) + column * np.float32(np.cos(angle))


def _strokes(rng: np.random.Generator) -> np.ndarray:
    period = rng.uniform(2 * SMALLEST_STROKE_PX, 40)
    wave = np.sin(_across(rng) * (2 * np.pi / period) + rng.uniform(0, 6))
    return np.clip(wave * rng.uniform(1, 5) + 0.5, 0, 1).astype(np.float32)


def _checks(rng: np.random.Generator) -> np.ndarray:
    return np.abs(_strokes(rng) - _strokes(rng))


def _blobs(rng: np.random.Generator) -> np.ndarray:
    cells = int(rng.integers(3, 12))
    coarse = Image.fromarray(rng.uniform(0, 255, size=(cells, cells)).astype(np.uint8))
    smooth = (
        np.asarray(coarse.resize((PICTURE_SIZE_PX,) * 2, Image.Resampling.BICUBIC), np.float32)
        / 255
    )
    return np.clip((smooth - 0.5) * rng.uniform(1, 12) + 0.5, 0, 1)


def _polygons(rng: np.random.Generator) -> np.ndarray:
    canvas = Image.new("L", (PICTURE_SIZE_PX * 2,) * 2, 0)
    brush = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 6))):
        points = rng.uniform(0, PICTURE_SIZE_PX * 2, size=(int(rng.integers(3, 7)), 2))
        brush.polygon([(float(x), float(y)) for x, y in points], fill=int(rng.integers(0, 256)))
    return np.asarray(canvas.reduce(2), np.float32) / 255


def _tubes(rng: np.random.Generator) -> np.ndarray:
    canvas = Image.new("L", (PICTURE_SIZE_PX,) * 2, 0)
    brush = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        left, top = rng.uniform(0, 90, size=2)
        width, height = rng.uniform(24, 90, size=2)
        box = (float(left), float(top), float(left + width), float(top + height))
        draw = brush.ellipse if rng.random() < 0.5 else brush.rectangle
        draw(box, outline=255, width=int(rng.integers(SMALLEST_STROKE_PX, 14)))
    glow = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 10))))
    return (
        np.maximum(
            np.asarray(canvas, np.float32) * float(rng.random() < 0.5), np.asarray(glow, np.float32)
        )
        / 255
    )


_PATTERNS = (_strokes, _checks, _blobs, _polygons, _tubes)
