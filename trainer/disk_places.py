"""Where a job writes, and how much room there is: folders by the disk that they lie on.

Folders on one disk share its room, so needs are added up by disk (the file system's device number)
and not by folder. Imports no torch.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Folder = Literal["cache", "output", "models"]
# What a full disk and a quota answer.
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Place:
    """A folder that a job writes to. disk: which file system it is on."""

    path: Path
    disk: int
    free_bytes: int


def place_of(folder: Path) -> Place | None:
    """The folder with its disk; None if that cannot be asked."""
    try:
        there = nearest_folder(folder)
        return Place(folder, os.stat(there).st_dev, shutil.disk_usage(there).free)
    except OSError:
        return None


def places_of(*, cache: Path, models: Path, output: Path | None) -> dict[Folder, Place]:
    """Those of a job's three kinds of files that are known."""
    folders: dict[Folder, Path | None] = {"models": models, "cache": cache, "output": output}
    found: dict[Folder, Place] = {}
    for name, path in folders.items():
        place = None if path is None else place_of(path)
        if place is not None:
            found[name] = place
    return found


def free_bytes(folder: Path) -> int:
    """Free space on the folder's disk. Raises OSError."""
    return shutil.disk_usage(nearest_folder(folder)).free


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder and below; 0 without one. Links are not followed."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest parent while it is not made."""
    return next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
