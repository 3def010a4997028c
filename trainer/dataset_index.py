"""What lies in a dataset's folder: pairs of picture and caption, sizes, and what is wrong.

The door, the dataset page and the trainer ask here, so all three see the same answer. A dataset is
the pictures directly in one folder, in the order of their names; sub-folders are not searched (a
folder of rejects or originals beside the pictures must not train), which is said when there are
any. Only headers and caption files are read: thousands of pictures take a second or two. Whether a
picture decodes to its last row is asked by `damaged_pictures` before anything is encoded.

An empty caption file counts: somebody made it, so the picture trains with the empty prompt, not
with the Default Caption, and a warning names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from trainer.captions import read_caption
from trainer.errors import Problem, Severity
from trainer.parallel import WAITING_THREADS, WORKING_THREADS, in_threads
from trainer.pictures import (
    OTHER_PICTURE_SUFFIXES,
    PICTURE_SUFFIXES,
    UnreadablePicture,
    read_picture,
    upright_size,
)

MIN_PICTURE_SIDE_PX = 64  # the smallest side that Resolutions can ask for
_NAMES_IN_A_MESSAGE = 5


@dataclass(frozen=True)
class DatasetItem:
    """A picture and its caption.

    caption: as written, [trigger] not yet replaced; the default caption where the picture has no
    file of its own. width, height: px, after EXIF orientation.
    """

    path: Path
    caption: str
    has_own_caption: bool
    width: int
    height: int

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class DatasetIndex:
    """The usable pictures of a folder by name, and everything found wrong with it."""

    folder: Path
    items: list[DatasetItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def scan_dataset(
    folder: Path,
    *,
    caption_extension: str,
    default_caption: str,
    field_prefix: str = "datasets.0",
) -> DatasetIndex:
    """The folder's pictures with captions and sizes; what is wrong is in `.problems`.

    field_prefix: where the dataset stands in its job, for the problems' `field`.
    """
    field_path = f"{field_prefix}.target_dataset"
    if not folder.is_dir():
        return DatasetIndex(folder, problems=[_missing_folder(folder, field_path)])
    try:
        listing = _Listing.of(folder)
    except OSError as error:
        problem = Problem(
            "dataset_unreadable",
            f"The folder {folder} cannot be read: {error.strerror or error}.",
            "Give this user the right to read it.",
            field_path,
            params={"folder": str(folder)},
        )
        return DatasetIndex(folder, problems=[problem])

    problems = listing.problems(caption_extension, field_path)
    if not listing.pictures:
        problems.insert(0, _empty_folder(folder, field_path))
        return DatasetIndex(folder, problems=problems)

    reads = list(
        in_threads(
            lambda path: _read_pair(path, caption_extension), listing.pictures, WAITING_THREADS
        )
    )
    items = [
        DatasetItem(
            path=read.path,
            caption=default_caption if read.caption is None else read.caption,
            has_own_caption=read.caption is not None,
            width=read.size[0],
            height=read.size[1],
        )
        for read in reads
        if read.size is not None and not read.caption_fault
    ]
    problems += _problems_of_reads(reads, default_caption, field_prefix)
    return DatasetIndex(folder, items, problems)


def damaged_pictures(
    paths: Sequence[Path],
    *,
    field_path: str | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Problem]:
    """Decode each picture wholly; one problem names those that fail. Empty when all are sound.

    tick: called with the number done after each; what it raises ends the work.
    """
    found: list[str] = []
    with closing(in_threads(_decoding_fault, paths, WORKING_THREADS)) as faults:
        for done, (path, fault) in enumerate(zip(paths, faults, strict=True), start=1):
            if fault:
                found.append(f"{path.name} ({fault})")
            tick(done)
    return [_damaged(found, field_path)] if found else []


@dataclass(frozen=True)
class _Listing:
    """The folder's entries by kind, each sorted by name; hidden ones are left out."""

    pictures: list[Path]
    other_pictures: list[str]
    folders: list[str]
    others: list[Path]

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        found = cls([], [], [], [])
        for entry in sorted(folder.iterdir(), key=lambda path: path.name):
            suffix = entry.suffix.lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                found.folders.append(entry.name)
            elif suffix in PICTURE_SUFFIXES:
                found.pictures.append(entry)
            elif suffix in OTHER_PICTURE_SUFFIXES:
                found.other_pictures.append(entry.name)
            else:
                found.others.append(entry)
        return found

    def problems(self, caption_extension: str, field_path: str) -> list[Problem]:
        problems: list[Problem] = []
        if self.other_pictures:
            problems.append(
                problem_of_files(
                    "pictures_not_read",
                    "Pictures of formats that are not read here: {names}.",
                    f"Convert them to one of {_formats()} if they are to train.",
                    self.other_pictures,
                    field_path,
                    Severity.WARNING,
                )
            )
        if self.folders:
            problems.append(
                problem_of_files(
                    "subfolders_not_searched",
                    "Sub-folders are not searched: {names}.",
                    "Move their pictures up, or name the sub-folder as a dataset of its own.",
                    self.folders,
                    field_path,
                    Severity.WARNING,
                )
            )
        stems = {path.stem for path in self.pictures}
        unpaired = [
            path.name
            for path in self.others
            if path.suffix == f".{caption_extension}" and path.stem not in stems
        ]
        if unpaired and self.pictures:
            problems.append(
                problem_of_files(
                    "captions_without_picture",
                    "Caption files that belong to no picture: {names}.",
                    "A caption has its picture's name: cat.txt belongs to cat.png.",
                    unpaired,
                    field_path,
                    Severity.WARNING,
                )
            )
        return problems


@dataclass(frozen=True)
class _Pair:
    """What reading one picture's header and caption file gave."""

    path: Path
    size: tuple[int, int] | None
    fault: str
    caption_file: Path
    caption: str | None
    caption_fault: str


def _read_pair(path: Path, caption_extension: str) -> _Pair:
    size, fault = None, ""
    try:
        size = upright_size(path)
    except UnreadablePicture as error:
        fault = str(error)
    caption, caption_fault = None, ""
    caption_file = path.with_suffix(f".{caption_extension}")
    try:
        caption = read_caption(caption_file)
    except FileNotFoundError:
        pass
    except UnicodeDecodeError as error:
        caption_fault = f"not UTF-8 at byte {error.start}"
    except OSError as error:
        caption_fault = error.strerror or str(error)
    return _Pair(path, size, fault, caption_file, caption, caption_fault)


def _problems_of_reads(
    reads: Sequence[_Pair], default_caption: str, field_prefix: str
) -> list[Problem]:
    field_path = f"{field_prefix}.target_dataset"
    problems: list[Problem] = []
    damaged = [f"{read.path.name} ({read.fault})" for read in reads if read.fault]
    if damaged:
        problems.append(_damaged(damaged, field_path))
    small = [
        f"{read.path.name} ({read.size[0]}x{read.size[1]})"
        for read in reads
        if read.size is not None and min(read.size) < MIN_PICTURE_SIDE_PX
    ]
    if small:
        problems.append(
            problem_of_files(
                "pictures_too_small",
                f"Pictures with a side under {MIN_PICTURE_SIDE_PX} px: {{names}}.",
                "Replace or remove them; pictures are never scaled up.",
                small,
                field_path,
            )
        )
    unreadable = [
        f"{read.caption_file.name} ({read.caption_fault})" for read in reads if read.caption_fault
    ]
    if unreadable:
        problems.append(
            problem_of_files(
                "captions_unreadable",
                "Captions that cannot be read: {names}.",
                "Save them as UTF-8 text.",
                unreadable,
                field_path,
            )
        )
    empty = [read.path.name for read in reads if read.caption is not None and not read.caption]
    if empty:
        problems.append(
            problem_of_files(
                "captions_empty",
                "Pictures whose caption file is empty train with the empty prompt: {names}.",
                "Write the captions, or remove the files to use the Default Caption.",
                empty,
                field_path,
                Severity.WARNING,
            )
        )
    bare = [read.path.name for read in reads if read.caption is None and not read.caption_fault]
    if bare and not default_caption:
        problems.append(
            problem_of_files(
                "captions_missing",
                "Without a caption file and with a blank Default Caption, pictures train with the "
                "empty prompt: {names}.",
                "Write captions, or fill in Default Caption.",
                bare,
                f"{field_prefix}.default_caption",
                Severity.WARNING,
            )
        )
    return problems


def _decoding_fault(path: Path) -> str:
    try:
        read_picture(path)
    except UnreadablePicture as error:
        return str(error)
    return ""


def _missing_folder(folder: Path, field_path: str) -> Problem:
    is_file = folder.exists()
    return Problem(
        "dataset_missing",
        f"{folder} is {'a file, not a folder' if is_file else 'not there'}.",
        "Put the pictures and their captions into a folder of this name, or choose another one.",
        field_path,
        params={"folder": str(folder)},
    )


def _empty_folder(folder: Path, field_path: str) -> Problem:
    return Problem(
        "dataset_empty",
        f"There is no picture in {folder}.",
        f"Put pictures directly into it ({_formats()}); sub-folders are not searched.",
        field_path,
        params={"folder": str(folder)},
    )


def _damaged(files: Sequence[str], field_path: str | None) -> Problem:
    return problem_of_files(
        "pictures_damaged",
        "Pictures that cannot be read: {names}.",
        "Replace or remove them.",
        files,
        field_path,
    )


def problem_of_files(
    code: str,
    message: str,
    hint: str,
    files: Sequence[str],
    field_path: str | None,
    severity: Severity = Severity.ERROR,
) -> Problem:
    """One problem for all files with the same fault: the first few at {names}, all in params."""
    names = ", ".join(files[:_NAMES_IN_A_MESSAGE])
    if len(files) > _NAMES_IN_A_MESSAGE:
        names += f" and {len(files) - _NAMES_IN_A_MESSAGE} more"
    filled = message.format(names=names)
    return Problem(
        code, filled, hint, field_path, severity, params={"count": len(files), "files": list(files)}
    )


def _formats() -> str:
    return ", ".join(sorted(suffix.lstrip(".") for suffix in PICTURE_SUFFIXES))
