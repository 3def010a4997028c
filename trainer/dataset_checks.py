"""What a job's datasets hold, and everything wrong with them that headers and captions show.

Each dataset is scanned by itself (`dataset_index.py`); here follow the questions that need the
job: whether its trigger stands in the captions, which pictures are smaller than every resolution,
whether a batch can ever be full. Imports no torch.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainer.batch_kinds import batch_kind
from trainer.buckets import assign_resolution
from trainer.captions import contains_trigger, has_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex, scan_dataset
from trainer.errors import JobRefused, Problem, Severity
from trainer.file_memory import FileMemory
from trainer.file_problems import problem_of_files
from trainer.folders import Folders, join_inside
from trainer.panels.datasets import Dataset
from trainer.panels.field import TRIGGER_PLACEHOLDER
from trainer.training_items import TrainingItem, training_items
from trainer.validation_items import probe_pairs

# Below this a LoRA learns the pictures themselves and not what they have in common; the guides
# begin at 15 for a style and 20 for a character or an object.
FEW_PICTURES = 5


def examine_datasets(job: JobConfig, folders: Folders) -> tuple[list[DatasetIndex], list[Problem]]:
    """One index for each of the job's datasets, in order, and all that is wrong with them; the last
    is the Validation Dataset's if there is one.
    """
    memory = FileMemory(folders.cache)
    indexes = [
        _index_of(dataset, f"datasets.{number}", folders, memory)
        for number, dataset in enumerate(job.datasets)
    ]
    problems = _dataset_problems(job, indexes)
    if job.dataset_of_validation is not None:
        indexes.append(_index_of(job.dataset_of_validation, "advanced", folders, memory))
        problems += [_of_validation(problem) for problem in indexes[-1].problems]
    memory.save()
    return indexes, problems


def _of_validation(problem: Problem) -> Problem:
    """The same at the field that names the Validation Dataset."""
    return replace(problem, field="advanced.validation_dataset")


def _index_of(dataset: Dataset, prefix: str, folders: Folders, memory: FileMemory) -> DatasetIndex:
    named = {f"{prefix}.target_dataset": dataset.target_dataset}
    if dataset.mask_dataset:
        named[f"{prefix}.mask_dataset"] = dataset.mask_dataset
    for place, name in enumerate(dataset.control_datasets):
        named[f"{prefix}.control_datasets.{place}"] = name
    found: list[Path] = []
    problems: list[Problem] = []
    for field_path, name in named.items():
        folder = _folder_of(name, folders.datasets, field_path)
        if isinstance(folder, Path):
            found.append(folder)
        else:
            problems += folder
    if problems:
        return DatasetIndex(folders.datasets, problems=problems)
    target, *others = found
    return scan_dataset(
        target,
        caption_extension=dataset.caption_extension,
        default_caption=dataset.default_caption,
        field_prefix=prefix,
        mask_folder=others.pop(0) if dataset.mask_dataset else None,
        control_folders=others,
        leaves_out_bad_files=dataset.bad_files == "leave_out",
        memory=memory,
    )


def _folder_of(name: str, root: Path, field_path: str) -> Path | list[Problem]:
    """The folder of a dataset's name, or what is wrong with the name."""
    try:
        folder = join_inside(root, name, field=field_path)
    except JobRefused as refusal:
        return list(refusal.problems)
    return folder if folder.exists() else [_no_such_dataset(name, root, field_path)]


def _no_such_dataset(name: str, root: Path, field_path: str) -> Problem:
    names = (
        sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    )
    near = difflib.get_close_matches(name, names, n=3)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "Put the pictures and their captions into a folder of this name there."
    )
    return Problem(
        "dataset_missing",
        f"There is no dataset {name!r} in {root}.",
        hint,
        field_path,
        params={"name": name, "near": near},
    )


def _dataset_problems(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[Problem]:
    problems = [problem for index in indexes for problem in index.problems]
    problems += _placeholders_without_trigger(job, indexes)
    items = training_items(job, indexes)
    if not items:
        return problems
    problems += _no_captions_at_all(job, indexes)
    problems += _too_few_pictures(items)
    problems += _captions_without_trigger(job, items)
    problems += _small_pictures(job, indexes)
    problems += _batches_never_full(job, items)
    problems += _too_few_to_hold_out(job, items)
    problems += _nothing_to_probe(job, items)
    return problems


def _too_few_to_hold_out(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    own = [item for item in items if not item.is_regularization]
    if job.advanced.validation != "held_out" or len(own) > 1:
        return []
    return [
        Problem(
            "too_few_to_hold_out",
            f"A held-out share needs pictures on both sides, and there are {len(own)}.",
            "Add pictures, or choose another Validation.",
            "advanced.validation",
            params={"count": len(own)},
        )
    ]


def _nothing_to_probe(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    if not (job.advanced.preservation_probe and job.preservation_trigger):
        return []
    if probe_pairs(job, items):
        return []
    return [
        Problem(
            "probe_without_captions",
            "Preservation Probe compares captions with and without "
            f"{job.preservation_trigger!r}, but no caption contains it.",
            f"Write it (or {TRIGGER_PLACEHOLDER}) into the captions, or turn the probe off.",
            "advanced.preservation_probe",
            params={"trigger": job.preservation_trigger},
        )
    ]


def _placeholders_without_trigger(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[Problem]:
    if job.job.trigger_word or job.training.unload_te:
        return []
    problems: list[Problem] = []
    for dataset, index in zip(job.datasets, indexes, strict=True):
        if dataset.is_regularization:
            continue  # the class takes its place there
        files = [
            item.name
            for item in index.items
            if item.has_own_caption and has_trigger_placeholder(item.caption)
        ]
        if files:
            problems.append(
                problem_of_files(
                    "placeholder_without_trigger",
                    f"{TRIGGER_PLACEHOLDER} stands in captions of {index.folder.name}, but Trigger "
                    "Word is blank: {names}.",
                    f"Fill in Trigger Word, or take {TRIGGER_PLACEHOLDER} out of the captions.",
                    files,
                    "job.trigger_word",
                )
            )
    return problems


def _no_captions_at_all(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[Problem]:
    return [
        Problem(
            "no_captions",
            f"None of the {len(index.items)} pictures in {index.folder.name} has a caption, and "
            "Default Caption is blank: nothing would connect them to any word.",
            f"Write {TRIGGER_PLACEHOLDER} into Default Caption, or captions beside the pictures.",
            f"datasets.{number}.default_caption",
            params={"count": len(index.items)},
        )
        for number, (dataset, index) in enumerate(zip(job.datasets, indexes, strict=True))
        if index.items
        and not (dataset.is_regularization or job.training.unload_te)
        and not any(item.caption.strip() for item in index.items)
    ]


def _too_few_pictures(items: Sequence[TrainingItem]) -> list[Problem]:
    count = sum(not item.is_regularization for item in items)
    if count == 0:
        return [
            Problem(
                "only_regularization",
                "Is Regularization is on for every dataset, so there is nothing to learn: their "
                "pictures hold the model where it is.",
                "Turn it off for the dataset that shows what the LoRA is to learn.",
                "datasets.0.is_regularization",
            )
        ]
    if count >= FEW_PICTURES:
        return []
    return [
        Problem(
            "few_pictures",
            f"With {count} {'picture' if count == 1 else 'pictures'} a LoRA learns the pictures "
            "themselves, not what they have in common.",
            "The guides take 15-30 for a style and 20-60 for a character or an object.",
            "datasets",
            Severity.WARNING,
            {"count": count},
        )
    ]


def _captions_without_trigger(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    preserves = job.regularization.differential_output_preservation
    trigger = job.preservation_trigger if preserves else job.job.trigger_word
    if not trigger:
        return []
    asked = [item for item in items if not item.is_regularization]
    without = [item.name for item in asked if not contains_trigger(item.caption, trigger)]
    if not without:
        return []
    none_has_it = len(without) == len(asked)
    if preserves and none_has_it:
        return [
            Problem(
                "preservation_without_captions",
                f"Differential Output Preservation compares captions with and without {trigger!r}, "
                "but no caption contains it.",
                f"Write it (or {TRIGGER_PLACEHOLDER}) into the captions, or turn preservation off.",
                "regularization.differential_output_preservation",
                params={"trigger": trigger, "count": len(asked)},
            )
        ]
    fate = "preservation skips these" if preserves else "the trigger learns nothing from these"
    which = "All captions" if none_has_it else f"{len(without)} of {len(asked)} captions"
    return [
        problem_of_files(
            "captions_without_trigger",
            f"{which} lack the trigger {trigger!r}, and {fate}: {{names}}.",
            f"Write it (or {TRIGGER_PLACEHOLDER}) into the captions if that is not meant.",
            without,
            "regularization.trigger" if preserves else "job.trigger_word",
            Severity.WARNING,
        )
    ]


def _small_pictures(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[Problem]:
    problems: list[Problem] = []
    for i, (dataset, index) in enumerate(zip(job.datasets, indexes, strict=True)):
        small = [
            f"{item.name} ({item.width}x{item.height})"
            for item in index.items
            if not dataset.allow_upscaling
            and assign_resolution(item.width, item.height, dataset.resolutions).resolution is None
        ]
        if small:
            problems.append(
                problem_of_files(
                    "pictures_below_resolution",
                    f"Pictures with fewer pixels than {min(dataset.resolutions)} squared keep "
                    "their own size: {names}.",
                    "Add a lower resolution to train them with the others, use larger pictures, or "
                    "turn Allow Upscaling on.",
                    small,
                    f"datasets.{i}.resolutions",
                    Severity.WARNING,
                )
            )
    return problems


def _batches_never_full(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    """For each batch size in use: whether any kind of picture can fill it, repeats counted."""
    default = job.training.batch_size
    counts: Counter[tuple[int, object]] = Counter()
    fields: dict[int, str] = {}
    for item in items:
        own = job.datasets[item.dataset].batch_size
        kind = batch_kind(item, default)
        counts[kind.batch_size, kind] += item.num_repeats
        field_path = "training" if own is None else f"datasets.{item.dataset}"
        fields.setdefault(kind.batch_size, f"{field_path}.batch_size")
    problems: list[Problem] = []
    for batch_size, field_path in fields.items():
        largest = max(count for (size, _), count in counts.items() if size == batch_size)
        if batch_size > largest:
            problems.append(
                Problem(
                    "batch_never_full",
                    f"Batch Size is {batch_size}, but no more than {largest} of the {len(items)} "
                    "pictures share a size, and a batch has one size: batches are smaller.",
                    "Lower Batch Size, choose fewer resolutions, or use Gradient Accumulation.",
                    field_path,
                    Severity.WARNING,
                    {"batch_size": batch_size, "largest": largest},
                )
            )
    return problems
