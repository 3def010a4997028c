"""The door: everything that can be known about a job before a model loads is asked here.

The form's check, the API's queue, a YAML file and the command line pass the same door and hear the
same sentences: the schema's, the rules across settings, then what lies on the disk: the datasets
(folders, headers, captions) and the model's folder. Imports no torch, so a refusal takes no time.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.buckets import assign_resolution
from trainer.captions import contains_trigger, has_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex, problem_of_files, scan_dataset
from trainer.errors import BadDataset, BadModel, DarkroomError, JobRefused, Problem, Severity
from trainer.folders import Folders, join_inside
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.model_check import model_problems
from trainer.model_folder import model_folder
from trainer.panels.datasets import Dataset
from trainer.panels.field import TRIGGER_PLACEHOLDER
from trainer.training_items import TrainingItem, training_items


@dataclass(frozen=True)
class Verdict:
    """What the door found.

    job: None when the schema refuses it. indexes: one for each of the job's datasets, in order;
    empty when the schema refuses the job. The problems are kept by what they are about.
    """

    job: JobConfig | None
    job_problems: list[Problem] = field(default_factory=list)
    dataset_problems: list[Problem] = field(default_factory=list)
    model_problems: list[Problem] = field(default_factory=list)
    indexes: list[DatasetIndex] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """All of them, errors and warnings."""
        return self.job_problems + self.dataset_problems + self.model_problems

    @property
    def errors(self) -> list[Problem]:
        """What keeps the job from running."""
        return [problem for problem in self.problems if problem.severity == Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        """What will have no effect or will disappoint."""
        return [problem for problem in self.problems if problem.severity == Severity.WARNING]

    def admitted(self) -> JobConfig:
        """The job, if it can run.

        Raises JobRefused, BadDataset or BadModel, by what the first error is about; whichever it
        is carries all errors found.
        """
        errors = self.errors
        if not errors:
            assert self.job is not None
            return self.job
        raise _class_of_first_error(self).from_problems(errors)


def examine_job(data: Mapping[str, Any], folders: Folders) -> Verdict:
    """Everything wrong with a job, unchecked as it came from a form or a file."""
    try:
        job = parse_job(data)
    except JobRefused as refusal:
        return Verdict(job=None, job_problems=list(refusal.problems))
    indexes = [_index_of(dataset, i, folders) for i, dataset in enumerate(job.datasets)]
    return Verdict(
        job=job,
        job_problems=cross_field_problems(job),
        dataset_problems=_dataset_problems(job, indexes),
        model_problems=_model_problems(job, folders),
        indexes=indexes,
    )


def admit_job(data: Mapping[str, Any], folders: Folders) -> JobConfig:
    """The job, if it can run. Raises JobRefused, BadDataset or BadModel with all that is wrong."""
    return examine_job(data, folders).admitted()


def _class_of_first_error(verdict: Verdict) -> type[DarkroomError]:
    for problems, kind in (
        (verdict.job_problems, JobRefused),
        (verdict.dataset_problems, BadDataset),
    ):
        if any(problem.severity == Severity.ERROR for problem in problems):
            return kind
    return BadModel


def _index_of(dataset: Dataset, number: int, folders: Folders) -> DatasetIndex:
    field_prefix = f"datasets.{number}"
    name = dataset.target_dataset
    try:
        folder = join_inside(folders.datasets, name, field=f"{field_prefix}.target_dataset")
    except JobRefused as refusal:
        return DatasetIndex(folders.datasets, problems=list(refusal.problems))
    if not folder.exists():
        problem = _no_such_dataset(name, folders.datasets, f"{field_prefix}.target_dataset")
        return DatasetIndex(folder, problems=[problem])
    return scan_dataset(
        folder,
        caption_extension=dataset.caption_extension,
        default_caption=dataset.default_caption,
        field_prefix=field_prefix,
    )


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
    problems += _captions_without_trigger(job, items)
    problems += _small_pictures(job, indexes)
    problems += _batches_never_full(job, items)
    return problems


def _placeholders_without_trigger(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[Problem]:
    if job.job.trigger_word:
        return []
    problems: list[Problem] = []
    for index in indexes:
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


def _captions_without_trigger(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    preserves = job.regularization.differential_output_preservation
    trigger = job.preservation_trigger if preserves else job.job.trigger_word
    if not trigger:
        return []
    without = [item.name for item in items if not contains_trigger(item.caption, trigger)]
    if not without:
        return []
    none_has_it = len(without) == len(items)
    if preserves and none_has_it:
        return [
            Problem(
                "preservation_without_captions",
                f"Differential Output Preservation compares captions with and without {trigger!r}, "
                "but no caption contains it.",
                f"Write it (or {TRIGGER_PLACEHOLDER}) into the captions, or turn preservation off.",
                "regularization.differential_output_preservation",
                params={"trigger": trigger, "count": len(items)},
            )
        ]
    fate = "preservation skips these" if preserves else "the trigger learns nothing from these"
    which = "All captions" if none_has_it else f"{len(without)} of {len(items)} captions"
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
            if assign_resolution(item.width, item.height, dataset.resolutions).resolution is None
        ]
        if small:
            problems.append(
                problem_of_files(
                    "pictures_below_resolution",
                    f"Pictures with fewer pixels than {min(dataset.resolutions)} squared keep "
                    "their own size: {names}.",
                    "Add a lower resolution to train them with the others, or larger pictures.",
                    small,
                    f"datasets.{i}.resolutions",
                    Severity.WARNING,
                )
            )
    return problems


def _batches_never_full(job: JobConfig, items: Sequence[TrainingItem]) -> list[Problem]:
    sizes = Counter(item.bucket.size for item in items)
    largest = max(sizes.values())
    batch_size = job.training.batch_size
    if batch_size <= largest:
        return []
    return [
        Problem(
            "batch_never_full",
            f"Batch Size is {batch_size}, but no more than {largest} of the {len(items)} pictures "
            "share a size, and a batch has one size: batches are smaller.",
            "Lower Batch Size, choose fewer resolutions, or use Gradient Accumulation.",
            "training.batch_size",
            Severity.WARNING,
            {"batch_size": batch_size, "largest": largest},
        )
    ]


def _model_problems(job: JobConfig, folders: Folders) -> list[Problem]:
    name = job.model.name_or_path
    is_relative = name and not Path(name).expanduser().is_absolute()
    if is_relative:
        try:
            join_inside(folders.models, name, field="model.name_or_path")
        except JobRefused as refusal:
            return list(refusal.problems)
    if not name and job.variant.hub_id is not None:
        return []  # job_rules.py has said that a path is needed
    return model_problems(model_folder(job, folders), job.variant)
