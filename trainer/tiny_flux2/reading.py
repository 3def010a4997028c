"""Reads a drawn picture back: which ground, which coloured shapes. Geometry only, nothing learnt.

The ground is the one whose colours the picture's border comes closest to. What differs from the
ground is split into connected pieces; a piece's colour is the nearest of the world's colours to its
median, and its shape the one whose outline, stretched to the piece's bounding box, overlaps it
best. A piece that no outline overlaps well enough counts as a blot, so a coloured blob is never
taken for a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from trainer.tiny_flux2.world import (
    BACKGROUNDS,
    COLOURS,
    PICTURE_SIZE_PX,
    SHAPES,
    SceneObject,
    background_pixels,
    object_mask,
)

BORDER_PX = 4
# Summed over the three channels; the autoencoder's own errors on flat areas stay under 30.
DIFFERS_FROM_GROUND = 75.0
# The smallest object, a star in a pair, covers about 500 px.
SMALLEST_PIECE_PX = 150
# Intersection over union with the best outline. Clean drawings reach 0.85 and more after the
# autoencoder; round blobs stay under 0.7 for every shape with corners.
WELL_FORMED_OVERLAP = 0.7
_TEMPLATE_SIDE = 48


@dataclass(frozen=True)
class Piece:
    """One connected piece: its colour's name, the best shape's name, their overlap in 0..1, its
    area.
    """

    shape: str
    colour: str
    overlap: float
    area_px: int

    @property
    def is_well_formed(self) -> bool:
        """Whether the outline is close enough to be called that shape."""
        return self.overlap >= WELL_FORMED_OVERLAP


@dataclass(frozen=True)
class Reading:
    """What a picture shows; pieces are ordered by area, the largest first."""

    background: str
    pieces: tuple[Piece, ...]


def read_picture(picture: Image.Image) -> Reading:
    """Read a picture of any size; it is scaled to the world's."""
    side = (PICTURE_SIZE_PX, PICTURE_SIZE_PX)
    pixels = np.asarray(picture.convert("RGB").resize(side), np.float32)
    background = _nearest_background(pixels)
    differs = np.abs(pixels - background_pixels(background)).sum(axis=2) > DIFFERS_FROM_GROUND
    pieces = [_read_piece(pixels, piece) for piece in _connected_pieces(differs)]
    return Reading(background, tuple(sorted(pieces, key=lambda piece: -piece.area_px)))


def _nearest_background(pixels: np.ndarray) -> str:
    border = np.ones(pixels.shape[:2], dtype=bool)
    border[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False

    def distance(name: str) -> float:
        # The median forgives an object that touches the border.
        return float(np.median(np.abs(pixels - background_pixels(name)).sum(axis=2)[border]))

    return min(BACKGROUNDS, key=distance)


def _connected_pieces(mask: np.ndarray) -> list[np.ndarray]:
    """Masks (H, W) of the 4-connected pieces of `mask` that are large enough to be an object."""
    left = mask.copy()
    pieces: list[np.ndarray] = []
    for row, column in np.argwhere(mask):
        if not left[row, column]:
            continue
        piece = np.zeros_like(mask)
        waiting = [(int(row), int(column))]
        left[row, column] = False
        while waiting:
            y, x = waiting.pop()
            piece[y, x] = True
            for beside_y, beside_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= beside_y < len(mask) and 0 <= beside_x < len(mask)
                if inside and left[beside_y, beside_x]:
                    left[beside_y, beside_x] = False
                    waiting.append((beside_y, beside_x))
        if piece.sum() >= SMALLEST_PIECE_PX:
            pieces.append(piece)
    return pieces


def _read_piece(pixels: np.ndarray, piece: np.ndarray) -> Piece:
    median = np.median(pixels[piece], axis=0)
    colour = min(COLOURS, key=lambda name: float(np.abs(median - COLOURS[name]).sum()))
    stretched = _stretch_to_template(piece)
    overlaps = {shape: _overlap(stretched, _template(shape)) for shape in SHAPES}
    shape = max(overlaps, key=lambda name: overlaps[name])
    return Piece(shape, colour, overlaps[shape], int(piece.sum()))


@cache
def _template(shape: str) -> np.ndarray:
    middle = PICTURE_SIZE_PX / 2
    return _stretch_to_template(object_mask(SceneObject(shape, "red", middle, middle, 48)) > 0.5)


def _stretch_to_template(mask: np.ndarray) -> np.ndarray:
    """The mask's bounding box, scaled to a square of fixed side."""
    rows, columns = np.nonzero(mask)
    box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scaled = Image.fromarray(box.astype(np.uint8) * 255).resize((_TEMPLATE_SIDE,) * 2)
    return np.asarray(scaled) > 127


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())
