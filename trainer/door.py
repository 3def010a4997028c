"""The door: everything that can be known about a job before a model loads is asked here.

The form's check, the API's queue, a YAML file and the command line pass the same door and hear the
same sentences: the schema's, the rules across settings, then what lies on the disk: the datasets
(folders, headers, captions and their length in tokens) and the model's folder. Imports no torch, so
a refusal takes no time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainer.compiler_check import compiler_problems
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.dataset_index import DatasetIndex
from trainer.errors import BadDataset, BadModel, DarkroomError, JobRefused, Problem, Severity
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.machine import Machine
from trainer.memory_check import judge_job, memory_problems
from trainer.model_check import revision_problems, source_problems
from trainer.model_parts import ModelSource, model_source
from trainer.prompt_check import long_prompt_problems
from trainer.quantization_support import kind_problems
from trainer.sample_check import control_image_problems
from trainer.start_check import start_problems


@dataclass(frozen=True)
class Verdict:
    """What the door found.

    job: None when the schema refuses it. indexes: one for each of the job's datasets, in order;
    empty when the schema refuses the job. The problems are kept by what they are about;
    start_problems are about the LoRA that the job starts from.
    """

    job: JobConfig | None
    job_problems: list[Problem] = field(default_factory=list)
    dataset_problems: list[Problem] = field(default_factory=list)
    model_problems: list[Problem] = field(default_factory=list)
    start_problems: list[Problem] = field(default_factory=list)
    indexes: list[DatasetIndex] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """All of them, errors and warnings."""
        return self.job_problems + self.start_problems + self.dataset_problems + self.model_problems

    @property
    def errors(self) -> list[Problem]:
        """What keeps the job from running."""
        return [problem for problem in self.problems if problem.severity == Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        """What will have no effect or will disappoint."""
        return [problem for problem in self.problems if problem.severity == Severity.WARNING]

    def going_on(self) -> Verdict:
        """The same for a run that goes on from a checkpoint: it holds what the LoRA that the job
        started from has become, and that file may be gone.
        """
        return replace(self, start_problems=[])

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


def examine_job(
    data: Mapping[str, Any],
    folders: Folders,
    machine_for: Callable[[JobConfig], Machine | None] | None = None,
) -> Verdict:
    """Everything wrong with a job, unchecked as it came from a form or a file.

    machine_for: the machine that the job would run on, which it is then planned for; None where
    that is not known.
    """
    try:
        job = parse_job(data)
    except JobRefused as refusal:
        return Verdict(job=None, job_problems=list(refusal.problems))
    indexes, dataset_problems = examine_datasets(job, folders)
    of_model, source = model_problems(job, folders)
    long_settings: list[Problem] = []
    if source is not None:
        indexes, long_captions, long_settings = long_prompt_problems(job, indexes, source)
        dataset_problems += long_captions
    machine = None if machine_for is None else machine_for(job)
    return Verdict(
        job=job,
        job_problems=cross_field_problems(job)
        + compiler_problems(job)
        + kind_problems(job)
        + _memory_problems(job, indexes, machine, folders)
        + long_settings,
        start_problems=start_problems(job, folders),
        dataset_problems=dataset_problems + control_image_problems(job, folders.datasets),
        model_problems=of_model,
        indexes=indexes,
    )


def _class_of_first_error(verdict: Verdict) -> type[DarkroomError]:
    for problems, kind in (
        (verdict.job_problems + verdict.start_problems, JobRefused),
        (verdict.dataset_problems, BadDataset),
    ):
        if any(problem.severity == Severity.ERROR for problem in problems):
            return kind
    return BadModel


def _memory_problems(
    job: JobConfig, indexes: Sequence[DatasetIndex], machine: Machine | None, folders: Folders
) -> list[Problem]:
    if machine is None:
        return []
    return list(memory_problems(job, judge_job(job, indexes, machine, folders), machine))


def model_problems(job: JobConfig, folders: Folders) -> tuple[list[Problem], ModelSource | None]:
    """What is wrong with the model, and what the Model panel means; None if it means nothing."""
    try:
        source = model_source(job.model, folders)
    except JobRefused as refusal:
        return list(refusal.problems), None
    return source_problems(source) + revision_problems(job.model.revision, source), source
