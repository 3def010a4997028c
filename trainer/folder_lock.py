"""One trainer a job folder: a lock that the system releases when its holder dies, however."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import FolderInUse

TURN_SECONDS = 2.0  # a turn takes milliseconds


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file `path` within the block. Raises FolderInUse with the holder's process id.

    The file stays, and says who held it last; what counts is the system's lock on it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise FolderInUse(
                f"Another trainer (process {holder or 'unknown'}) is writing to {path.parent}.",
                "Wait until it has ended, stop it, or choose another Training Name.",
                params={"process_id": holder},
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def turn(path: Path, *, seconds: float | None = None) -> Iterator[bool]:
    """Take turns, for moments, at what the lock file `path` stands for.

    Yields False if whoever has the turn keeps it for longer than this, as a frozen process does.
    seconds: TURN_SECONDS unless said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = time.monotonic() + (TURN_SECONDS if seconds is None else seconds)
        while not (is_ours := _try_lock(descriptor)) and time.monotonic() < until:
            time.sleep(0.005)
        yield is_ours
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file; leaves what it says as it is."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
