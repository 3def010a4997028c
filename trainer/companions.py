"""The masks and reference pictures that belong to a dataset's pictures, found by file stem.

A mask of `cat.png` is the picture `cat.*` in the mask dataset's folder; reference n is the one in
the nth control folder. Only headers are read here. Whatever does not pair, and whatever cannot be
used as what it is, is named with its reason; the pictures that it belongs to cannot train.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainer.errors import Problem, Severity
from trainer.file_memory import FileMemory
from trainer.file_problems import problem_of_files
from trainer.parallel import WAITING_THREADS, in_threads
from trainer.pictures import PICTURE_SUFFIXES, UnreadablePicture

# What Diffusers' pipeline refuses to be shown.
MIN_REFERENCE_SIDE_PX = 64
MAX_REFERENCE_SHAPE = 8
# A mask drawn at half the size may be off by the rounding of a pixel.
_SHAPE_TOLERANCE = 0.02


@dataclass(frozen=True)
class PictureFile:
    """A picture on disk with its upright size in px."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class Companions:
    """One companion folder: what belongs to which picture, and what is wrong.

    of_stem: by file stem, only what can be used. faults: why the picture of a stem has none.
    """

    of_stem: dict[str, PictureFile] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_masks(
    folder: Path, pictures: Sequence[PictureFile], *, field_path: str, memory: FileMemory
) -> Companions:
    """The masks of the pictures, of the same shape each."""
    shapes = {picture.path.stem: picture.width / picture.height for picture in pictures}

    def fault(mask: PictureFile) -> str:
        ratio = mask.width / mask.height / shapes[mask.path.stem]
        if abs(ratio - 1) <= _SHAPE_TOLERANCE:
            return ""
        return f"{mask.width}x{mask.height} is of another shape than its picture"

    words = _Words(
        "mask",
        "masks",
        "Give each picture a mask of its name and shape: cat.png there belongs to cat.png here.",
    )
    return _find(folder, pictures, fault, words, field_path=field_path, memory=memory)


def find_references(
    folder: Path, pictures: Sequence[PictureFile], *, field_path: str, memory: FileMemory
) -> Companions:
    """The references of the pictures in one control folder."""

    def fault(reference: PictureFile) -> str:
        return reference_fault(reference.width, reference.height)

    words = _Words(
        "reference",
        "references",
        "Give each picture a reference of its name: cat.png there belongs to cat.png here.",
    )
    return _find(folder, pictures, fault, words, field_path=field_path, memory=memory)


def reference_fault(width_px: int, height_px: int) -> str:
    """Why the pipeline would refuse to be shown a picture of this size; empty if it would not."""
    shorter_px, longer_px = sorted((width_px, height_px))
    size = f"at {width_px} x {height_px} px"
    if shorter_px < MIN_REFERENCE_SIDE_PX:
        return f"{size} it has a side under {MIN_REFERENCE_SIDE_PX} px"
    if longer_px > MAX_REFERENCE_SHAPE * shorter_px:
        return f"{size} it is more than {MAX_REFERENCE_SHAPE} times as long as wide"
    return ""


@dataclass(frozen=True)
class _Words:
    one: str
    many: str
    cure: str


def _find(
    folder: Path,
    pictures: Sequence[PictureFile],
    fault_of: Callable[[PictureFile], str],
    words: _Words,
    *,
    field_path: str,
    memory: FileMemory,
) -> Companions:
    try:
        files = _pictures_by_stem(folder)
    except OSError as error:
        problem = Problem(
            f"{words.many}_unreadable",
            f"The folder {folder} cannot be read: {error.strerror or error}.",
            "Choose another folder, or give this user the right to read it.",
            field_path,
            params={"folder": str(folder)},
        )
        return Companions(faults={p.path.stem: "its folder" for p in pictures}, problems=[problem])

    found = Companions()
    stems = list(dict.fromkeys(picture.path.stem for picture in pictures))
    paired = [stem for stem in stems if len(files.get(stem, ())) == 1]
    for stem in stems:
        if stem not in files:
            found.faults[stem] = "missing"
        elif len(files[stem]) > 1:
            found.faults[stem] = f"several: {', '.join(path.name for path in files[stem])}"
    reads = in_threads(
        lambda path: _read(path, memory), [files[s][0] for s in paired], WAITING_THREADS
    )
    for stem, read in zip(paired, reads, strict=True):
        fault = read if isinstance(read, str) else fault_of(read)
        if fault or isinstance(read, str):
            found.faults[stem] = fault
        else:
            found.of_stem[stem] = read
    found.problems.extend(_problems(folder, files, stems, found.faults, words, field_path))
    return found


def _pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            if not entry.name.startswith(".") and path.suffix.lower() in PICTURE_SUFFIXES:
                by_stem.setdefault(path.stem, []).append(path)
    return by_stem


def _read(path: Path, memory: FileMemory) -> PictureFile | str:
    try:
        return PictureFile(path, *memory.upright_size(path))
    except UnreadablePicture as error:
        return str(error)


def _problems(
    folder: Path,
    files: dict[str, list[Path]],
    stems: Sequence[str],
    faults: dict[str, str],
    words: _Words,
    field_path: str,
) -> list[Problem]:
    problems: list[Problem] = []
    missing = [stem for stem, fault in faults.items() if fault == "missing"]
    if missing:
        problems.append(
            problem_of_files(
                f"{words.many}_missing",
                f"Pictures without a {words.one} in {folder.name}: {{names}}.",
                words.cure,
                missing,
                field_path,
            )
        )
    unusable = [f"{stem} ({fault})" for stem, fault in faults.items() if fault != "missing"]
    if unusable:
        problems.append(
            problem_of_files(
                f"{words.many}_unusable",
                f"{words.many.capitalize()} in {folder.name} that cannot be used: {{names}}.",
                f"Replace them. {words.cure}",
                unusable,
                field_path,
            )
        )
    known = set(stems)
    lonely = [path.name for stem, paths in files.items() if stem not in known for path in paths]
    if lonely:
        problems.append(
            problem_of_files(
                f"{words.many}_without_picture",
                f"{words.many.capitalize()} in {folder.name} that belong to no picture: {{names}}.",
                words.cure,
                lonely,
                field_path,
                Severity.WARNING,
            )
        )
    return problems
