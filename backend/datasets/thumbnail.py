"""A picture of a dataset scaled down for a page: a list of fifty photographs is not 300 MB."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from backend.errors import NotFound
from trainer.pictures import UnreadablePicture, read_picture

QUALITY = 80  # of WebP: some 8 kB at 256 px


def thumbnail(file: Path, side_px: int) -> bytes:
    """The picture as WebP, upright as it trains, its longer side at most `side_px`.

    Raises NotFound for a file that cannot be read.
    """
    try:
        picture = read_picture(file)
    except UnreadablePicture as error:
        raise NotFound(
            "picture_unreadable",
            f"{file.name} cannot be read: {error}.",
            "Replace or remove it.",
            params={"file": file.name},
        ) from None
    picture.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()
