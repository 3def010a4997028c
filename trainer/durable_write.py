"""The one door for files that must survive a power cut.

A file is written under a temporary name in the same folder, flushed to the disk, renamed over its
final name, and the folder's entry is flushed too. A reader therefore sees the old file, the new
file, or none, never a part. A folder (a checkpoint) is filled under a temporary name and renamed
whole in the same way.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".writing-"


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it becomes `path`, on failure it is removed.

    The temporary name keeps the suffix, since libraries choose formats by it.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        flush_file(temporary)
        os.replace(temporary, path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes `path`, which must not exist yet."""
    assert not path.exists(), f"{path} exists already"
    make_folder(path.parent)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        yield temporary
        flush_tree(temporary)
        move(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder to where nothing is, on the same disk; for certain when this returns.

    What is in a folder must be flushed before (`flush_tree`). Raises OSError.
    """
    make_folder(target.parent)
    os.rename(source, target)
    flush_folder(target.parent)
    flush_folder(source.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, for certain: what is moved into one that the disk has not
    kept would be lost with it.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left under temporary names directly in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def flush_file(path: Path) -> None:
    """Ask the disk to keep the file's bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Ask the disk to keep every file and entry in a folder, at any depth."""
    for entry in folder.rglob("*"):
        if entry.is_dir():
            flush_folder(entry)
        elif entry.is_file():
            flush_file(entry)
    flush_folder(folder)


def flush_folder(path: Path) -> None:
    """Ask the disk to keep the folder's entries; a no-op where folders cannot be opened."""
    if os.name == "nt":
        return
    flush_file(path)
