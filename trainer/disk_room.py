"""Has the disk room for what a job writes, and what would make it fit.

What the plan says (`memory_disk.py`) is the most that a job can write. A job is only refused for
what it has *still* to write: encoded pictures and prompts, kept weights and parts of a download
that lie there already are taken to be this job's, and so are the checkpoints and samples in its own
folder. That errs towards letting a job run: a save that finds no room waits for it (`room.py`), so
a wrong guess costs time and never work.

The folders are looked through only when the plan would not fit as it stands; a cache of a hundred
thousand files takes a moment. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.config import JobConfig
from trainer.disk_places import Folder, Place, folder_bytes
from trainer.job_folder import JobFolder
from trainer.memory_disk import DiskPart

# What lies in the cache folder of each part of the plan.
_CACHE_FOLDERS = {
    "latents": ("latents", "references", "masks"),
    "prompts": ("prompts",),
    "weights": ("weights",),
}
_DOWNLOADS = ("transformer", "text_encoder", "autoencoder")


@dataclass(frozen=True)
class DiskShortage:
    """A disk with less room than a job has to write there. parts: what that is, largest first."""

    place: Place
    folder: Folder
    needed_bytes: int
    parts: tuple[DiskPart, ...]


def shortages(
    job: JobConfig,
    parts: Sequence[DiskPart],
    places: Mapping[Folder, Place],
    *,
    repository: str,
    bytes_in: Callable[[Path], int] = folder_bytes,
) -> list[DiskShortage]:
    """The disks that are too small. repository: the model's folder in the hub's cache, by name.

    bytes_in: what lies in a folder; a caller that asks again and again remembers it.
    """
    if not list(_too_small(parts, places)):
        return []
    left = [
        replace(part, num_bytes=max(0, part.num_bytes - there))
        for part, there in _with_what_is_there(job, parts, places, repository, bytes_in)
    ]
    return list(_too_small(left, places))


def _too_small(parts: Sequence[DiskPart], places: Mapping[Folder, Place]) -> Iterator[DiskShortage]:
    for disk in dict.fromkeys(place.disk for place in places.values()):
        here: list[Folder] = [name for name, place in places.items() if place.disk == disk]
        mine = sorted(
            (part for part in parts if part.folder in here and part.num_bytes > 0),
            key=lambda part: -part.num_bytes,
        )
        needed = sum(part.num_bytes for part in mine)
        if needed > places[here[0]].free_bytes:
            folder = mine[0].folder
            yield DiskShortage(places[folder], folder, needed, tuple(mine))


def _with_what_is_there(
    job: JobConfig,
    parts: Sequence[DiskPart],
    places: Mapping[Folder, Place],
    repository: str,
    bytes_in: Callable[[Path], int],
) -> Iterator[tuple[DiskPart, int]]:
    # One folder holds all of a download: what is there counts once.
    downloaded = bytes_in(places["models"].path / repository) if "models" in places else 0
    for part in parts:
        place = places.get(part.folder)
        if place is None:
            yield part, 0
        elif part.folder == "models":
            assert part.key in _DOWNLOADS, part.key
            yield part, downloaded
            downloaded = max(0, downloaded - part.num_bytes)
        elif part.folder == "cache":
            yield part, sum(bytes_in(place.path / name) for name in _CACHE_FOLDERS[part.key])
        else:
            yield part, _in_output(JobFolder(place.path, job.job.training_name), part.key, bytes_in)


def _in_output(folder: JobFolder, key: str, bytes_in: Callable[[Path], int]) -> int:
    """Bytes that the next checkpoints, samples or result take the place of."""
    paths: dict[str, Path] = {"checkpoints": folder.checkpoints, "samples": folder.samples}
    if key in paths:
        return bytes_in(paths[key])
    return folder.result.stat().st_size if folder.result.is_file() else 0
