"""How far a sample lies from the base model's picture of the same prompt and noise.

    distance = mean |sample - base|    over pixels and the channels R, G, B

in shares of the way from black to white: 0 is the same picture, 0.1 is 25 of 255 levels a pixel.
The preservation probe asks the model itself and is the better judge, but it has to be turned on.
Samples are drawn anyway: with the trigger they should move away from the base's, without it they
should stay. It tells how much pixels changed, not what of the picture did.

Measured on thumbnails, which the worker makes as samples arrive, so that it takes a few ms a
picture; all at one size, so that grain counts alike. A number is kept until one of its two files
changes.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from backend.artifacts.thumbnails import Side, thumbnail_data
from backend.errors import Unusable
from trainer.pictures import UnreadablePicture, read_picture

# What the bundled tiny model draws, whose trainings the rules of the advice were held against.
COMPARED_SIDE_PX = 128


def distance(picture: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures, 0 to 1, the shorter side scaled to 128 px."""
    scale = COMPARED_SIDE_PX / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    first, second = (
        each.convert("RGB").resize(size, Image.Resampling.BOX) for each in (picture, other)
    )
    levels = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(levels) / len(levels) / 255


def distance_from_base(file: Path, base_file: Path, cache_dir: Path) -> float | None:
    """The same of two files; None where one is gone or damaged."""
    try:
        versions = tuple(
            (about.st_mtime_ns, about.st_size) for about in (file.stat(), base_file.stat())
        )
        return _of_versions(file, base_file, cache_dir, versions)
    except (FileNotFoundError, Unusable, UnreadablePicture):
        return None


@lru_cache(maxsize=4096)
def _of_versions(
    file: Path, base_file: Path, cache_dir: Path, _versions: tuple[tuple[int, int], ...]
) -> float:
    small = (thumbnail_data(each, cache_dir, side_px=Side.SMALL) for each in (file, base_file))
    sample, base = (read_picture(BytesIO(data)) for data, _ in small)
    return distance(sample, base)
