"""The door as the API sees it: the trainer's own judgement, and what is known only here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.db.engine import Database
from backend.errors import Unusable
from backend.jobs import queries
from backend.jobs.change_rules import (
    change_problems,
    checkpoints_that_are_gone,
    has_run,
    storage_problems,
    taken_name,
    usable_name,
)
from backend.jobs.machines import largest_machine, too_small_devices
from backend.jobs.schemas import ProblemEntry, Verdict
from backend.jobs.work import DRAWING, JobKind, Work, gpu_of, not_a_training
from backend.settings import Settings
from backend.system.state import known_devices
from trainer.advice import advice_on
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.door import examine_job
from trainer.drawing_config import NO_PICTURES, DrawingConfig, as_job
from trainer.drawing_door import examine_drawing
from trainer.errors import Problem, Severity
from trainer.job_folder import JobFolder
from trainer.presets import Kind
from trainer.resume_rules import AUTO, goes_on


@dataclass(frozen=True)
class Examined:
    """The job, if its schema is met, every problem found, and what its datasets hold."""

    job: JobConfig | None
    errors: list[Problem]
    warnings: list[Problem]
    indexes: Sequence[DatasetIndex] = ()


@dataclass(frozen=True)
class ExaminedDrawing:
    """The same of a drawing. loras: its files that are on this machine."""

    drawing: DrawingConfig | None
    errors: list[Problem]
    warnings: list[Problem]
    loras: Sequence[Path] = ()


@dataclass(frozen=True)
class Admitted:
    """A training or a drawing that may run, what it is warned of, and the devices that are too
    small for it.
    """

    work: Work
    warnings: list[Problem]
    too_small_devices: list[str]


def examine(
    config: dict[str, Any],
    database: Database,
    settings: Settings,
    *,
    kind: Kind | None = None,
    job_id: int | None = None,
) -> Verdict:
    """What saving and queueing this config would say, and advice. Call it outside of sessions.

    kind: what it is to learn. job_id: the job that is to have it, whatever its state; None for a
    new one. Raises NotFound, and Conflict for a drawing.
    """
    if unstorable := storage_problems(config):
        # No fault is named at its field: its words would repeat what no answer can hold.
        return Verdict(valid=False, errors=problem_entries(unstorable), warnings=[], advice=[])
    own = _own_problems(config, database, settings, job_id)
    found = examine_config(config, database, settings, is_new=own.is_new)
    errors, warnings = [*own.errors, *found.errors], [*found.warnings, *own.warnings]
    advice = [] if found.job is None else advice_on(found.job, found.indexes, kind)
    return Verdict(
        valid=not errors,
        errors=problem_entries(errors),
        warnings=problem_entries(warnings),
        advice=problem_entries(advice),
    )


def examine_config(
    config: dict[str, Any], database: Database, settings: Settings, *, is_new: bool
) -> Examined:
    """Everything wrong with a config. Reads the datasets' headers: call it outside of sessions."""
    verdict = examine_job(
        config, settings.folders, lambda job: largest_machine(job.job.gpu, database, settings)
    )
    if verdict.job is not None and goes_on(verdict.job, settings.output_dir, resume=AUTO):
        verdict = verdict.going_on()
    errors, warnings = list(verdict.errors), list(verdict.warnings)
    if verdict.job is not None:
        errors += _gpu_that_is_not_there(verdict.job, database)
        warnings += _goes_on_from_an_older_folder(verdict.job, settings) if is_new else []
    return Examined(verdict.job, errors, warnings, verdict.indexes)


def examine_drawing_config(
    config: dict[str, Any], database: Database, settings: Settings
) -> ExaminedDrawing:
    """Everything wrong with a drawing. Reads the headers of its LoRA files."""
    verdict = examine_drawing(
        config,
        settings.folders,
        lambda job: largest_machine(job.job.gpu, database, settings),
        parent=settings.output_dir,
    )
    errors = list(verdict.errors)
    if verdict.drawing is not None:
        errors += _gpu_that_is_not_there(verdict.drawing, database)
    return ExaminedDrawing(verdict.drawing, errors, list(verdict.warnings), verdict.loras)


def admit(
    config: dict[str, Any],
    database: Database,
    settings: Settings,
    *,
    kind: JobKind,
    is_new: bool,
) -> Admitted:
    """What may be queued. Raises Unusable with every fault. Call it outside of sessions."""
    if kind == DRAWING:
        drawn = examine_drawing_config(config, database, settings)
        work, errors, warnings = drawn.drawing, drawn.errors, drawn.warnings
        job = None if drawn.drawing is None else as_job(drawn.drawing, drawn.loras)
        indexes: Sequence[DatasetIndex] = NO_PICTURES
    else:
        found = examine_config(config, database, settings, is_new=is_new)
        work, errors, warnings = found.job, found.errors, found.warnings
        job, indexes = found.job, found.indexes
    if errors:
        code, what = ("bad_drawing", "drawing") if kind == DRAWING else ("bad_job", "job")
        raise Unusable(code, f"The {what} cannot run.", problems=errors)
    assert work is not None
    assert job is not None
    return Admitted(work, warnings, too_small_devices(job, indexes, database, settings))


@dataclass(frozen=True)
class _OwnProblems:
    """What a config meets because of the job that is to have it, and of the others' names."""

    errors: list[Problem]
    warnings: list[Problem]
    is_new: bool


def _own_problems(
    config: dict[str, Any], database: Database, settings: Settings, job_id: int | None
) -> _OwnProblems:
    name = usable_name(config)
    with database.read() as session:
        if job_id is None:
            taken = [] if name is None else taken_name(session, name)
            return _OwnProblems(taken, [], is_new=True)
        job = queries.find_job(session, job_id)
        if job.kind == DRAWING:
            raise not_a_training(job.training_name, job_id, "changed")
        return _OwnProblems(
            change_problems(session, settings, job, config, name),
            checkpoints_that_are_gone(session, settings, job, None),
            is_new=not has_run(session, job_id),
        )


def _gpu_that_is_not_there(work: Work, database: Database) -> list[Problem]:
    """A job for a card that no worker has would wait for ever. Unknown while no worker was seen."""
    wanted = gpu_of(work)
    with database.read() as session:
        devices = known_devices(session)
    if wanted in ("any", "cpu") or not devices or wanted in devices:
        return []
    return [
        Problem(
            code="gpu_missing",
            message=f"There is no GPU {wanted} on this machine.",
            hint=f"Choose any, or one of {', '.join(devices)}.",
            field="gpu" if isinstance(work, DrawingConfig) else "job.gpu",
            params={"gpu": wanted, "devices": list(devices)},
        )
    ]


def _goes_on_from_an_older_folder(job: JobConfig, settings: Settings) -> list[Problem]:
    name = job.job.training_name
    steps = JobFolder(settings.output_dir, name).checkpoint_steps()
    if not steps:
        return []
    return [
        Problem(
            code="goes_on_from_folder",
            message=f"The output folder {name} holds checkpoints up to step {steps[-1]} of an "
            "earlier training; this job goes on from there.",
            hint="Choose another training name to start from step 0.",
            field="job.training_name",
            severity=Severity.WARNING,
            params={"step": steps[-1]},
        )
    ]


def problem_entries(problems: Iterable[Problem]) -> list[ProblemEntry]:
    """Problems in the wire form."""
    return [ProblemEntry.model_validate(problem.as_dict()) for problem in problems]
