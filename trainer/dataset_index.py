"""What lies in a dataset's folder: pairs of picture and caption, sizes, and what is wrong.

The door, the dataset page and the trainer ask here, so all three see the same answer. A dataset is
the pictures directly in one folder, in the order of their names; sub-folders are not searched (a
folder of rejects or originals beside the pictures must not train), which is said when there are
any. Only headers, ends and caption files are read, in parallel, and a `FileMemory` spares the
headers of files that have not changed. Whether a picture decodes in between is asked by
`bad_files.py` before anything is encoded.

A picture that cannot train, or whose mask or reference cannot be used, is no item of the index. The
Datasets panel's Bad Files says whether that refuses the job or is a warning.

An empty caption file counts: somebody made it, so the picture trains with the empty prompt, not
with the Default Caption, and a warning names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.captions import read_caption
from trainer.companions import Companions, PictureFile, find_masks, find_references
from trainer.errors import Problem, Severity
from trainer.file_memory import FileMemory
from trainer.file_problems import problem_of_files
from trainer.parallel import WAITING_THREADS, in_threads
from trainer.pictures import (
    OTHER_PICTURE_SUFFIXES,
    PICTURE_SUFFIXES,
    UnreadablePicture,
)

MIN_PICTURE_SIDE_PX = 64  # the smallest side that Resolutions can ask for


@dataclass(frozen=True)
class DatasetItem:
    """A picture and its caption.

    caption: as written, [trigger] not yet replaced; the default caption where the picture has no
    file of its own. width, height: px, after EXIF orientation. mask: where there is a mask dataset.
    references: one from each control dataset, in order.
    """

    path: Path
    caption: str
    has_own_caption: bool
    width: int
    height: int
    mask: Path | None = None
    references: tuple[PictureFile, ...] = ()

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
    mask_folder: Path | None = None,
    control_folders: Sequence[Path] = (),
    leaves_out_bad_files: bool = False,
    memory: FileMemory | None = None,
) -> DatasetIndex:
    """The folder's pictures with captions and sizes; what is wrong is in `.problems`.

    field_prefix: where the dataset stands in its job, for the problems' `field`. mask_folder,
    control_folders: where each picture's mask and references lie. memory: of files that were read
    before; the caller saves it.
    """
    memory = memory or FileMemory(None)
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
            lambda path: _read_pair(path, caption_extension, memory),
            listing.pictures,
            WAITING_THREADS,
        )
    )
    pictures = [PictureFile(read.path, *read.size) for read in reads if read.size is not None]
    masks = None
    if mask_folder is not None:
        masks = find_masks(
            mask_folder, pictures, field_path=f"{field_prefix}.mask_dataset", memory=memory
        )
    references = [
        find_references(
            control_folder,
            pictures,
            field_path=f"{field_prefix}.control_datasets.{number}",
            memory=memory,
        )
        for number, control_folder in enumerate(control_folders)
    ]
    bad = _problems_of_reads(reads, default_caption, field_prefix)
    for companions in [*([masks] if masks else []), *references]:
        bad += companions.problems
    problems += [_left_out(problem) for problem in bad] if leaves_out_bad_files else bad
    items = _items(reads, default_caption, masks, references)
    if not items and leaves_out_bad_files:
        problems.append(_nothing_left(folder, len(reads), field_path))
    return DatasetIndex(folder, items, problems)


def _items(
    reads: Sequence[_Pair],
    default_caption: str,
    masks: Companions | None,
    references: Sequence[Companions],
) -> list[DatasetItem]:
    """The pictures that can train, with what belongs to them."""
    items: list[DatasetItem] = []
    for read in reads:
        stem = read.path.stem
        if read.size is None or read.caption_fault or min(read.size) < MIN_PICTURE_SIDE_PX:
            continue
        if any(stem not in found.of_stem for found in [*([masks] if masks else []), *references]):
            continue
        items.append(
            DatasetItem(
                path=read.path,
                caption=default_caption if read.caption is None else read.caption,
                has_own_caption=read.caption is not None,
                width=read.size[0],
                height=read.size[1],
                mask=masks.of_stem[stem].path if masks else None,
                references=tuple(found.of_stem[stem] for found in references),
            )
        )
    return items


def _left_out(problem: Problem) -> Problem:
    """A fault of files, where Bad Files says to leave their pictures out."""
    if problem.severity != Severity.ERROR:
        return problem
    hint = "Their pictures are left out, as Bad Files says."
    return replace(problem, severity=Severity.WARNING, hint=hint)


def _nothing_left(folder: Path, num_pictures: int, field_path: str) -> Problem:
    return Problem(
        "dataset_without_usable_pictures",
        f"None of the {num_pictures} pictures in {folder} can be used, so leaving bad files out "
        "leaves nothing.",
        "The other messages say what is wrong with them.",
        field_path,
        params={"folder": str(folder), "count": num_pictures},
    )


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


def _read_pair(path: Path, caption_extension: str, memory: FileMemory) -> _Pair:
    size, fault = None, ""
    try:
        size = memory.upright_size(path)
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
                "Replace or remove them: there is too little in them to learn from.",
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


def _formats() -> str:
    return ", ".join(sorted(suffix.lstrip(".") for suffix in PICTURE_SUFFIXES))
