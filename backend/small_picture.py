"""A picture scaled down for a page: the one definition, of samples and of datasets.

A grid of five hundred pictures at 768 px would be 500 MB of PNG; scaled down they are 5. Who keeps
the result, and for how long, is theirs to say: see `artifacts/thumbnails.py`.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from trainer.pictures import read_picture

QUALITY = 82  # of WebP: some 8 kB at 256 px
# WebP's effort, 0 to 6: at 2 a small picture takes 5 ms in place of 15 and a tenth more bytes.
EFFORT = 2


def small_picture(file: Path, *, side_px: int) -> bytes:
    """The picture as WebP, upright as it trains, its longer side at most `side_px`.

    Raises UnreadablePicture, with a few words on what is wrong.
    """
    picture = read_picture(file)
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY, method=EFFORT)
    return written.getvalue()
