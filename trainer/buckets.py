"""At which size a picture trains, and how it is brought to that size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.panels.field import SIDE_MULTIPLE_PX

# What Diffusers' pipeline shows the model of a reference, so that training equals inference. The
# official code allows one reference of up to 2024 x 2024.
REFERENCE_AREA_PX = 1024 * 1024


@dataclass(frozen=True)
class Bucket:
    """The size a picture trains at; `resolution` is None for one that keeps its own size."""

    width_px: int
    height_px: int
    resolution: int | None

    @property
    def size(self) -> tuple[int, int]:
        return self.width_px, self.height_px


@dataclass(frozen=True)
class Fit:
    """How a picture comes to its bucket: scaled to (scaled_*), then this box cut out of it.

    left_px and top_px count from the scaled picture's upper left corner.
    """

    scaled_width_px: int
    scaled_height_px: int
    left_px: int
    top_px: int


def assign_resolution(
    width: int, height: int, resolutions: Sequence[int], *, allow_upscaling: bool = False
) -> Bucket:
    """The one size at which a picture of `width` x `height` px trains.

    It is scaled down to the area of the largest resolution's square that it fills, keeping its
    shape as nearly as sides in multiples of 16 px allow. A picture smaller than every square keeps
    its size, cut to such multiples; only with `allow_upscaling` is it scaled up to the smallest.
    """
    fillable = [side for side in resolutions if side * side <= width * height]
    if not fillable and not allow_upscaling:
        return Bucket(_floored(width), _floored(height), None)

    resolution = max(fillable) if fillable else min(resolutions)
    may_grow = not fillable
    scale = resolution / math.sqrt(width * height)
    candidates = [
        (bucket_width, bucket_height)
        for bucket_width in _multiples_around(width * scale)
        for bucket_height in _multiples_around(height * scale)
        if (may_grow or (bucket_width <= width and bucket_height <= height))
        and bucket_width * bucket_height <= resolution * resolution
    ]
    shape = width / height
    best = min(
        candidates or [(_floored(width * scale), _floored(height * scale))],
        # The least cut away; of equals the largest.
        key=lambda size: (abs(math.log(size[0] / size[1] / shape)), -size[0] * size[1]),
    )
    return Bucket(*best, resolution)


def fit_to_bucket(width_px: int, height_px: int, bucket_size: tuple[int, int]) -> Fit:
    """The smallest scaling of a picture that covers its bucket, and the box in its middle.

    bucket_size: (width, height) in px; `assign_resolution` chose it, so that nothing is scaled up
    unless that was asked for.
    """
    bucket_width_px, bucket_height_px = bucket_size
    scale = max(bucket_width_px / width_px, bucket_height_px / height_px)
    scaled_width_px = max(bucket_width_px, round(width_px * scale))
    scaled_height_px = max(bucket_height_px, round(height_px * scale))
    return Fit(
        scaled_width_px=scaled_width_px,
        scaled_height_px=scaled_height_px,
        left_px=(scaled_width_px - bucket_width_px) // 2,
        top_px=(scaled_height_px - bucket_height_px) // 2,
    )


def reference_fit(width_px: int, height_px: int) -> Fit:
    """How a reference picture comes to the size that it is seen at: `reference_size` px.

    Above REFERENCE_AREA_PX it is scaled down to that area, then cut in its middle to sides in
    multiples of 16; smaller ones are only cut. The numbers, down to which way they are rounded, are
    those of `image=` in Diffusers' Flux2Pipeline, which a test compares with.
    """
    area_px = width_px * height_px
    if area_px > REFERENCE_AREA_PX:
        scale = math.sqrt(REFERENCE_AREA_PX / area_px)
        width_px, height_px = int(width_px * scale), int(height_px * scale)
    return Fit(
        scaled_width_px=width_px,
        scaled_height_px=height_px,
        left_px=(width_px - _floored(width_px)) // 2,
        top_px=(height_px - _floored(height_px)) // 2,
    )


def reference_size(width_px: int, height_px: int) -> tuple[int, int]:
    """(width, height) in px that a reference of this size is encoded at."""
    fit = reference_fit(width_px, height_px)
    return _floored(fit.scaled_width_px), _floored(fit.scaled_height_px)


def _floored(side_px: float) -> int:
    return max(SIDE_MULTIPLE_PX, int(side_px) // SIDE_MULTIPLE_PX * SIDE_MULTIPLE_PX)


def _multiples_around(side_px: float) -> list[int]:
    below = _floored(side_px + 1e-6)  # 768.0 may come out of the square root as 767.9999999
    return [below, below + SIDE_MULTIPLE_PX]
