"""Small pictures for grids, made when they are first asked for and kept in the cache folder.

A grid of five hundred pictures at 768 px would be 500 MB of PNG; their thumbnails are 5. A file's
name is a hash of what it was made from (path, size, moment of the last change) and of its side, so
a picture that is drawn anew never shows the old one. Two requests for the same one wait for one
another; different ones are made side by side, as many as there are processors, since a decoded
picture takes many times its file's memory. What was not asked for the longest goes when the folder
grows beyond its limit. It can be emptied at any time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from backend.errors import Unusable

log = logging.getLogger(__name__)

FOLDER = "thumbnails"
LIMIT_BYTES = 512 << 20

QUALITY = 82
# WebP's effort, 0 to 6: at 2 a thumbnail takes 5 ms in place of 15 and a tenth more bytes.
EFFORT = 2
_LOOK_EVERY = 200  # thumbnails between two looks at the folder's size
_TEMPORARY = ".making-"


class Side(IntEnum):
    """How long the longer side is, in pixels: for a grid, and for a grid of large cells."""

    SMALL = 256
    LARGE = 640


_room = threading.BoundedSemaphore(os.cpu_count() or 1)
_at_work: dict[str, threading.Lock] = {}
_at_work_guard = threading.Lock()
_made = 0


def thumbnail(picture: Path, cache_dir: Path, *, side_px: int) -> Path:
    """A WebP of the picture whose longer side is `side_px`, or the picture itself if it is no
    larger. Raises Unusable for a file that is no picture.
    """
    about = picture.stat()
    said = f"{picture} {about.st_mtime_ns} {about.st_size} {side_px} {QUALITY}"
    name = hashlib.sha256(said.encode()).hexdigest()
    small = cache_dir / FOLDER / name[:2] / f"{name}.webp"
    if not _is_there(small):
        with _alone(name), _room:
            if not _is_there(small) and not _make(picture, small, side_px):
                return picture
    return small


def _is_there(small: Path) -> bool:
    """Whether it is there and, after a power cut, not empty; then it counts as just used."""
    try:
        os.utime(small)
        return small.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextmanager
def _alone(name: str) -> Iterator[None]:
    with _at_work_guard:
        lock = _at_work.setdefault(name, threading.Lock())
    try:
        with lock:
            yield
    finally:
        with _at_work_guard:
            _at_work.pop(name, None)


def _make(picture: Path, small: Path, side_px: int) -> bool:
    """False if the picture is small enough as it is."""
    try:
        with Image.open(picture) as opened:
            if max(opened.size) <= side_px:
                opened.verify()
                return False
            drawn = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise _unreadable(picture, error) from error
    except Image.DecompressionBombError as error:
        raise _unreadable(picture, error) from error
    drawn.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small.parent.mkdir(parents=True, exist_ok=True)
    temporary = small.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}.webp")
    try:
        drawn.save(temporary, quality=QUALITY, method=EFFORT)
        os.replace(temporary, small)  # unflushed: what a power cut damages can be made again
    finally:
        temporary.unlink(missing_ok=True)
    _keep_within_limit(small.parents[1])
    return True


def _unreadable(picture: Path, error: Exception) -> Unusable:
    return Unusable(
        "picture_damaged",
        f"{picture.name} cannot be read as a picture: {error}.",
        "The file was damaged after it was drawn; draw it again, or put it back from a backup.",
        params={"file": picture.name},
    )


def _keep_within_limit(folder: Path) -> None:
    global _made
    with _at_work_guard:
        _made += 1
        if _made % _LOOK_EVERY:
            return
    prune(folder, limit_bytes=LIMIT_BYTES)


def prune(folder: Path, *, limit_bytes: int) -> None:
    """Remove what was not used the longest, until a tenth of the limit is free again."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.glob("*/*.webp"):
        try:
            about = path.stat()
        except FileNotFoundError:  # removed by somebody else meanwhile
            continue
        files.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= limit_bytes:
        return
    for _, size, path in sorted(files):
        path.unlink(missing_ok=True)
        total -= size
        if total <= limit_bytes * 0.9:
            return
