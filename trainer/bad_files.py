"""What only shows when files are read to their end: torn pictures, black masks, endless captions.

The door reads headers; this is asked before anything is encoded, for the files that no cache holds
yet (what is encoded was sound when it was). Bad Files of each dataset decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from trainer.config import JobConfig
from trainer.encoding_plan import MaskTask
from trainer.errors import BadDataset, Problem, Severity
from trainer.file_problems import problem_of_files
from trainer.parallel import WORKING_THREADS, in_threads
from trainer.pictures import UnreadablePicture, read_mask, read_picture
from trainer.training_items import TrainingItem


def unusable_files(
    pictures: Sequence[Path],
    masks: Sequence[MaskTask],
    *,
    tick: Callable[[int], None] = lambda done: None,
) -> dict[Path, str]:
    """Decode each file wholly; what is wrong, by path. Empty when all are sound.

    tick: called with the number done after each; what it raises ends the work.
    """
    found: dict[Path, str] = {}
    tasks: list[Path | MaskTask] = [*dict.fromkeys(pictures), *masks]
    with closing(in_threads(_fault, tasks, WORKING_THREADS)) as faults:
        for done, (task, fault) in enumerate(zip(tasks, faults, strict=True), start=1):
            if fault:
                found[task.path if isinstance(task, MaskTask) else task] = fault
            tick(done)
    return found


def usable_items(
    job: JobConfig,
    items: Sequence[TrainingItem],
    *,
    files: Mapping[Path, str],
    captions: Mapping[str, str],
) -> tuple[list[TrainingItem], list[Problem]]:
    """The pictures that can train, and a warning for each dataset that leaves some out.

    files: faults by path. captions: faults by text. Raises BadDataset with all that is wrong where
    a dataset refuses bad files, or where nothing is left.
    """
    if not files and not captions:
        return list(items), []
    validation = job.dataset_of_validation
    datasets = [*job.datasets, *([] if validation is None else [validation])]
    paths = {path.resolve(): fault for path, fault in files.items()}
    kept: list[TrainingItem] = []
    faults: dict[int, dict[str, list[str]]] = {}
    for item in items:
        own = _faults_of(item, paths, captions)
        if not own:
            kept.append(item)
        for code, name in own:
            names = faults.setdefault(item.dataset, {}).setdefault(code, [])
            if name not in names:
                names.append(name)

    problems = [
        _problem(code, names, number, leaves_out=datasets[number].bad_files == "leave_out")
        for number, by_code in sorted(faults.items())
        for code, names in by_code.items()
    ]
    errors = [problem for problem in problems if problem.severity == Severity.ERROR]
    if errors:
        raise BadDataset.from_problems(errors)
    if not any(not item.is_regularization for item in kept):
        raise BadDataset(
            "Leaving bad files out leaves no picture to train on: "
            + " ".join(problem.message for problem in problems),
            "Replace the files.",
            code="dataset_without_usable_pictures",
            field="datasets",
        )
    return kept, problems


def _fault(task: Path | MaskTask) -> str:
    try:
        if isinstance(task, MaskTask):
            mask = read_mask(task.path, task.picture_size, task.size)
            return "" if mask.any() else "black throughout, so nothing of its picture would train"
        read_picture(task)
    except UnreadablePicture as error:
        return str(error)
    return ""


def _faults_of(
    item: TrainingItem, paths: Mapping[Path, str], captions: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(code of the problem, the file with its fault) for all that keeps an item from training."""
    found: list[tuple[str, str]] = []
    files = {
        "pictures_damaged": [item.path],
        "masks_unusable": [item.mask] if item.mask else [],
        "references_unusable": [reference.path for reference in item.references],
    }
    for code, own in files.items():
        for path in own:
            if fault := paths.get(path.resolve()):
                found.append((code, f"{path.name} ({fault})"))
    for text in (item.caption, item.class_caption):
        if text is not None and text in captions:
            found.append(("captions_too_long", f"{item.name} ({captions[text]})"))
    return found


_WORDS = {
    "pictures_damaged": (
        "Pictures that cannot be read: {names}.",
        "Replace or remove them.",
        "target_dataset",
    ),
    "masks_unusable": (
        "Masks that cannot be used: {names}.",
        "Replace them; white is what trains.",
        "mask_dataset",
    ),
    "references_unusable": (
        "Reference pictures that cannot be read: {names}.",
        "Replace them.",
        "control_datasets",
    ),
    "captions_too_long": (
        "Captions longer than the text encoder reads: {names}.",
        "Shorten them: what is past the limit would be cut off.",
        "target_dataset",
    ),
}


def _problem(code: str, names: Sequence[str], dataset: int, *, leaves_out: bool) -> Problem:
    message, hint, field = _WORDS[code]
    return problem_of_files(
        code,
        message,
        "Their pictures are left out, as Bad Files says." if leaves_out else hint,
        names,
        f"datasets.{dataset}.{field}",
        Severity.WARNING if leaves_out else Severity.ERROR,
    )
