"""What another config of a job meets before it is saved: taken names, and what was trained so far.

Saving refuses with these problems, and the validation of a form shows them before anybody saves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from backend.db.models import Checkpoint, Job, Run
from backend.db.values import is_storable
from backend.jobs import queries
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.errors import BadCheckpoint, Problem, Severity
from trainer.job_folder import JobFolder
from trainer.panels.field import TrainingName
from trainer.resume_rules import FIXED_SETTINGS, setting_label

_TRAINING_NAME: TypeAdapter[str] = TypeAdapter(TrainingName)
CHECKPOINTS_GONE = "checkpoints_gone"


def change_problems(
    session: Session, settings: Settings, job: Job, config: dict[str, Any], name: str | None
) -> list[Problem]:
    """Why the job cannot be saved with this config; empty if it can.

    name: the config's training name; None while it cannot be one, which is refused elsewhere.
    """
    if name is None or name == job.training_name:
        own_name = []
    elif has_run(session, job.id):
        # Whether the other name is free says nothing: a job that ran has its folder.
        own_name = [_needs_clone("job.training_name", job.training_name, name)]
    else:
        own_name = taken_name(session, name, own_id=job.id)
    return own_name + _settings_that_need_a_clone(settings, job, config)


def storage_problems(config: dict[str, Any]) -> list[Problem]:
    """That neither the database nor an answer could hold the config."""
    if is_storable(config):
        return []
    return [
        Problem(
            "bad_config",
            "The config holds a number that is not finite, text that is no UTF-8, or "
            "is nested too deep.",
            "Correct it; an answer cannot hold any of these.",
        )
    ]


def taken_name(session: Session, name: str, *, own_id: int | None = None) -> list[Problem]:
    """That another job has this name, whatever its case. own_id: the job that may keep it."""
    holder = session.scalar(select(Job.id).where(Job.training_name == name))
    if holder is None or holder == own_id:
        return []
    return [
        Problem(
            "job_name_taken",
            f"There is a job named {name} already.",
            "Choose another training name, or delete that job.",
            "job.training_name",
            params={"training_name": name, "job_id": holder},
        )
    ]


def usable_name(config: dict[str, Any]) -> str | None:
    """The config's training name; None where it gives none that may be one."""
    panel = config.get("job")
    try:
        return _TRAINING_NAME.validate_python(
            panel.get("training_name") if isinstance(panel, dict) else None
        )
    except ValidationError:
        return None


def has_run(session: Session, job_id: int) -> bool:
    """Whether a trainer was ever started for the job."""
    return bool(session.scalar(select(exists().where(Run.job_id == job_id))))


def checkpoints_that_are_gone(
    session: Session, settings: Settings, job: Job, resume_from_step: int | None
) -> list[Problem]:
    """A job whose folder was renamed or emptied would begin anew, and nobody would know why.

    Who queues it with this warning wants that; see `refuse_to_begin_anew_unasked`.
    """
    folder = JobFolder(settings.output_dir, job.training_name)
    step = _step_that_is_gone(session, job, folder)
    if step is None or resume_from_step is not None:
        return []
    return [
        Problem(
            CHECKPOINTS_GONE,
            f"{job.training_name} had come to a checkpoint at step {step}, and there is none in "
            f"{folder.checkpoints} any more: it begins at step 0.",
            "If the folder was renamed or moved, take the job out of the queue, put it back and "
            "queue the job again.",
            severity=Severity.WARNING,
            params={"step": step, "folder": str(folder.path)},
        )
    ]


def refuse_to_begin_anew_unasked(session: Session, settings: Settings, job: Job) -> None:
    """A disk that is not mounted after a restart must not cost a job what it has trained.

    Raises BadCheckpoint where its checkpoints are gone, unless it was queued knowing that.
    """
    if any(warning["code"] == CHECKPOINTS_GONE for warning in job.warnings):
        return
    folder = JobFolder(settings.output_dir, job.training_name)
    step = _step_that_is_gone(session, job, folder)
    if step is None or job.resume_from_step is not None:
        return
    raise BadCheckpoint(
        f"{job.training_name} had come to a checkpoint at step {step}, and there is none in "
        f"{folder.checkpoints} any more. It was not started: it would have begun at step 0.",
        "Mount the disk, or put the folder back, and queue the job again. Queued while they are "
        "gone, it begins anew.",
        code=CHECKPOINTS_GONE,
        params={"step": step, "folder": str(folder.path)},
    )


def _step_that_is_gone(session: Session, job: Job, folder: JobFolder) -> int | None:
    """The newest checkpoint's step, where the folder holds none at all."""
    known = select(func.max(Checkpoint.step)).where(
        Checkpoint.job_id == job.id, Checkpoint.is_final.is_(False)
    )
    step = session.scalar(known)
    return None if folder.checkpoint_steps() else step


def _settings_that_need_a_clone(
    settings: Settings, job: Job, config: dict[str, Any]
) -> list[Problem]:
    folder = JobFolder(settings.output_dir, job.training_name)
    fixed: Iterable[str] = ()
    if folder.checkpoint_steps():
        fixed = FIXED_SETTINGS
    elif folder.result.exists():  # a LoRA for this model, which the job's page offers as that
        fixed = ("model.model_architecture",)
    changed: list[Problem] = []
    for path in fixed:
        panel, _, setting = path.partition(".")
        model: Any = JobConfig.model_fields[panel].annotation
        old = queries.setting_of(job.config, panel, setting, model)
        new = queries.setting_of(config, panel, setting, model)
        if old != new:
            changed.append(_needs_clone(path, old, new))
    return changed


def _needs_clone(field: str, old: Any, new: Any) -> Problem:
    return Problem(
        "needs_clone",
        f"{setting_label(field)} is {old!r} in what was trained so far and cannot become {new!r}.",
        "Set it back, or make a new job of this one to change it.",
        field,
        params={"old": old, "new": new},
    )
