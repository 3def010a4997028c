"""Small pictures for grids, kept in the cache folder: made as samples arrive, or when asked for.

The worker makes them of each picture that a run has drawn (`ThumbnailsAhead`), so that a gallery of
hundreds which nobody has looked at yet opens at once; the server makes what is missing. A file's
name is a hash of what it was made from (path, size, moment of the last change) and of its side, so
a picture that is drawn anew never shows the old one. Two requests for the same one wait for one
another; different ones are made side by side, as many as there are processors, since a decoded
picture takes many times its file's memory. What was not asked for the longest goes when the folder
grows beyond its limit. It can be emptied at any time. Where the folder takes nothing, because its
disk is full or only read, a small picture is sent from memory and not kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path

from backend.errors import Unusable
from backend.small_picture import EFFORT, QUALITY, small_picture
from trainer.pictures import UnreadablePicture, read_picture, upright_size

log = logging.getLogger(__name__)

FOLDER = "thumbnails"
LIMIT_BYTES = 512 << 20

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


class NotKept(Exception):
    """The cache folder does not take a thumbnail; data: the WebP."""

    def __init__(self, error: OSError, data: bytes) -> None:
        super().__init__(str(error))
        self.data = data


def thumbnail_data(picture: Path, cache_dir: Path, *, side_px: int) -> tuple[bytes, str]:
    """What `thumbnail` gives, kept or not, and its media type. Raises Unusable."""
    try:
        small = thumbnail(picture, cache_dir, side_px=side_px)
    except NotKept as unkept:
        log.warning("A thumbnail of %s is sent and not kept: %s", picture, unkept)
        return unkept.data, "image/webp"
    return small.read_bytes(), "image/webp" if small.suffix == ".webp" else "image/png"


def thumbnail(picture: Path, cache_dir: Path, *, side_px: int) -> Path:
    """A WebP of the picture whose longer side is `side_px`, or the picture itself if it is no
    larger. Raises Unusable for a file that is no picture, NotKept for one that cannot be kept.
    """
    about = picture.stat()
    said = f"{picture} {about.st_mtime_ns} {about.st_size} {side_px} {QUALITY} {EFFORT}"
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
        with suppress(OSError):  # on a disk that is only read
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
        if max(upright_size(picture)) <= side_px:
            read_picture(picture)  # sent as it is, but not if it is damaged
            return False
        data = small_picture(picture, side_px=side_px)
    except UnreadablePicture as error:
        raise Unusable(
            "picture_damaged",
            f"{picture.name} cannot be read as a picture: {error}.",
            "The file was damaged after it was drawn; draw it again, or put it back from a backup.",
            params={"file": picture.name},
        ) from error
    try:
        _write(small, data)
    except OSError as error:
        raise NotKept(error, data) from error
    _keep_within_limit(small.parents[1])
    return True


def _write(small: Path, data: bytes) -> None:
    small.parent.mkdir(parents=True, exist_ok=True)
    temporary = small.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}.webp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, small)  # unflushed: what a power cut damages can be made again
    finally:
        temporary.unlink(missing_ok=True)


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


class ThumbnailsAhead:
    """A thread that makes the thumbnails of pictures as they arrive, beside the worker's turns.

    What it does not come to, or cannot make, is made or refused when somebody asks for it.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._waiting: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="thumbnails", daemon=True)

    def start(self) -> None:
        """Begin with what was told already."""
        self._thread.start()

    def tell(self, picture: Path) -> None:
        """There is a picture. Returns at once."""
        self._waiting.put(picture)

    def end(self) -> None:
        """Make what was told until now, but not for longer than a moment."""
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while (picture := self._waiting.get()) is not None:
            try:
                for side in Side:
                    thumbnail(picture, self._cache_dir, side_px=side)
            except (OSError, NotKept, Unusable) as error:  # gone again, damaged, or a full disk
                log.info("No thumbnail of %s was made ahead: %s", picture, error)
