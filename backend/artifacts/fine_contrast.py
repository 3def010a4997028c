"""How much fine contrast pictures have, to tell a LoRA that overshoots from one that learned.

A LoRA whose target was pushed too far (Differential Guidance at 3, a high Learning Rate) draws what
it has learned and then some: edges get halos and doubles, surfaces a grain that is in none of the
pictures it trains on. To the eye that is ringing. What can be measured of it is contrast between a
pixel and its surroundings, at distances below a hundredth of the picture's side.

That number alone says nothing: a LoRA of pen drawings has more of it than the base model, and
rightly so. So a sample is held against two things: what the base model drew from the same prompt
and noise at step 0, and the training pictures themselves. More than both of them have is what
nobody asked for.

    overshoot    sample > base and sample > training pictures
    a fine style sample > base, but no more than its training pictures
    a soft LoRA  sample < base

All pictures are compared at one size, for contrast at a given distance depends on it; a shorter
side of 384 px keeps what an eye sees as an edge and takes some 20 ms a picture. A number is kept
until its file changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter, ImageStat

from trainer.pictures import PICTURE_SUFFIXES, UnreadablePicture, read_picture

COMPARED_SIDE_PX = 384
# What lies within a hundredth of the side is fine; the blur's radius is its standard deviation.
FINE_SHARE = 0.01
# Evenly chosen of a dataset; the one with the most fine contrast counts, so that a dataset of
# photographs with a few drawings allows what the drawings have.
LOOKED_AT = 8


def fine_contrast(picture: Image.Image, side_px: int = COMPARED_SIDE_PX) -> float:
    """Root mean square of the differences between pixels and their blurred surroundings.

    In shares of the way from black to white. The picture is scaled so that its shorter side has
    side_px pixels.
    """
    grey = picture.convert("L")
    scale = side_px / min(grey.size)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    grey = grey.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    surroundings = grey.filter(ImageFilter.GaussianBlur(max(1.0, FINE_SHARE * side_px)))
    return ImageStat.Stat(ImageChops.difference(grey, surroundings)).rms[0] / 255


def fine_contrast_of(file: Path, side_px: int) -> float | None:
    """The same of a file; None for one that is gone or damaged."""
    try:
        about = file.stat()
        return _of_version(file, side_px, about.st_mtime_ns, about.st_size)
    except (FileNotFoundError, UnreadablePicture):
        return None


@lru_cache(maxsize=4096)
def _of_version(file: Path, side_px: int, _changed: int, _size: int) -> float:
    return fine_contrast(read_picture(file), side_px)


def of_datasets(folders: Iterable[Path], side_px: int) -> float | None:
    """The most that any of the pictures looked at has; None without a picture."""
    found = (fine_contrast_of(file, side_px) for file in evenly(pictures_in(folders)))
    return max((value for value in found if value is not None), default=None)


def pictures_in(folders: Iterable[Path]) -> list[Path]:
    """By folder, then by name."""
    return [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]


def evenly(files: Sequence[Path]) -> list[Path]:
    """At most LOOKED_AT of them, from the first to the last."""
    if len(files) <= LOOKED_AT:
        return list(files)
    return [files[place * (len(files) - 1) // (LOOKED_AT - 1)] for place in range(LOOKED_AT)]
