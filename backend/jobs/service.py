"""What a person may do with a job. Each function checks, then writes in one short session.

The API never writes the state of a job that runs: it leaves a request (`stop_requested_at`, a row
in `commands`) and the worker obeys.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Job
from backend.db.values import is_storable
from backend.errors import Conflict, Unusable
from backend.jobs import queries, schemas
from backend.jobs.change_rules import (
    change_problems,
    checkpoints_that_are_gone,
    has_run,
    storage_problems,
    taken_name,
    usable_name,
)
from backend.jobs.commands import note_command
from backend.jobs.examine import Admitted, admit
from backend.jobs.feed import announce_job
from backend.jobs.moves import move
from backend.jobs.status import ACTIVE, EDITABLE, JobStatus
from backend.jobs.waiting import change_place
from backend.jobs.work import DRAWING, TRAINING, gpu_of, not_a_training
from backend.settings import Settings
from trainer.errors import JobRefused, Problem
from trainer.job_folder import JobFolder
from trainer.live_changes import changed_job


def create_job(
    database: Database, settings: Settings, config: dict[str, Any], *, queue: bool
) -> schemas.Job:
    """A new job. Raises Unusable or Conflict, and then nothing is created."""
    name = _training_name(config)
    admitted = None
    if queue:
        admitted = admit(config, database, settings, kind=TRAINING, is_new=True)
    with database.write() as session:
        _refuse_all(taken_name(session, name))
        job = Job(training_name=name, config=config, gpu="any")
        session.add(job)
        session.flush()
        if admitted is not None:
            enqueue(session, job, admitted, reason="created and queued")
        else:
            announce_job(session, job.id)
        session.flush()
        session.refresh(job)
        return queries.read_job(session, settings, job.id)


def change_job(
    database: Database,
    settings: Settings,
    job_id: int,
    config: dict[str, Any],
    *,
    instead_of: dict[str, Any] | None = None,
) -> schemas.Job:
    """Replace the config, or only `instead_of`.

    Raises NotFound, Unusable, or Conflict with what stands against it.
    """
    name = _training_name(config)
    with database.write() as session:
        job = queries.find_job(session, job_id)
        if job.kind == DRAWING:
            raise not_a_training(job.training_name, job_id, "changed")
        if job.status not in EDITABLE:
            raise _wrong_state(job, "changed", "Stop it first, or take it out of the queue.")
        _refuse_what_is_being_deleted(job)
        # The same request may come twice, when the first answer was lost.
        if instead_of is not None and job.config not in (instead_of, config):
            raise Conflict(
                "job_changed",
                f"{job.training_name} was changed elsewhere meanwhile.",
                "Load the newer values, or save these in their place.",
                params={"job_id": job_id},
            )
        _refuse_all(change_problems(session, settings, job, config, name))
        job.config = config
        job.training_name = name
        job.updated_at = now()
        announce_job(session, job_id)
        session.flush()
        return queries.read_job(session, settings, job_id)


def queue_job(
    database: Database,
    settings: Settings,
    job_id: int,
    how: schemas.JobToQueue | None = None,
    *,
    config: dict[str, Any] | None = None,
) -> schemas.Job:
    """Put the job at the queue's end, with another config if one is given, or leave it as it is.

    Raises NotFound, Conflict, or Unusable with every fault.
    """
    said = {} if how is None else how.model_dump(exclude_unset=True)
    resume_from_step = said.pop("resume_from_step", None)
    with database.read() as session:
        job = queries.find_job(session, job_id)
        _refuse_unless_editable(job)
        if job.kind == DRAWING and resume_from_step is not None:
            raise not_a_training(job.training_name, job_id, "begun from a step")
        kind, config_before, is_new = job.kind, job.config, not has_run(session, job_id)
    admitted = admit(config or config_before, database, settings, kind=kind, is_new=is_new)
    with database.write() as session:
        job = queries.find_job(session, job_id)
        _refuse_unless_editable(job)
        if job.config != config_before:
            raise Conflict("job_changed", "The job was changed meanwhile.", "Queue it again.")
        if config is not None:
            _refuse_all(change_problems(session, settings, job, config, job.training_name))
        _refuse_unknown_checkpoint(settings, job, resume_from_step)
        job.resume_from_step = resume_from_step
        if said:
            change_place(session, job, said)
        admitted.warnings.extend(
            checkpoints_that_are_gone(session, settings, job, resume_from_step)
        )
        enqueue(session, job, admitted, reason="queued")
        session.flush()
        session.refresh(job)
        return queries.read_job(session, settings, job_id)


def stop_job(database: Database, settings: Settings, job_id: int) -> schemas.Job:
    """Take it out of the queue, or ask its worker to end it. Raises NotFound or Conflict."""
    with database.write() as session:
        job = queries.find_job(session, job_id)
        if job.status == JobStatus.QUEUED:
            back = JobStatus.STOPPED if has_run(session, job_id) else JobStatus.DRAFT
            reason = "taken out of the queue"
            move(session, job_id, from_status=job.status, to_status=back, reason=reason)
        elif job.status in ACTIVE:
            if job.stop_requested_at is None:
                job.stop_requested_at = job.updated_at = now()
                announce_job(session, job_id)
        elif job.status != JobStatus.STOPPED:
            raise _wrong_state(job, "stopped", "Only a job that waits or runs can be stopped.")
        session.flush()
        session.refresh(job)
        return queries.read_job(session, settings, job_id)


def give_command(
    database: Database,
    job_id: int,
    command: Literal["save", "sample", "change"],
    settings_to_change: dict[str, Any] | None = None,
) -> None:
    """Ask the trainer to save or sample now, or to change settings.

    Raises NotFound, Conflict, or Unusable with what is wrong with the change.
    """
    with database.write() as session:
        job = queries.find_job(session, job_id)
        if job.kind == DRAWING:
            raise not_a_training(job.training_name, job_id, f"told to {command}")
        if queries.shown_status(job) != JobStatus.RUNNING:
            raise _wrong_state(job, f"told to {command}", "It must be running.")
        if command == "change":
            _refuse_bad_change(job, settings_to_change or {})
        elif settings_to_change:
            raise Unusable(
                "settings_without_change",
                f"The command {command} takes no settings.",
                "Leave them out, or give the command change.",
                field="settings",
            )
        note_command(session, job_id, command, settings_to_change)


def _refuse_bad_change(job: Job, settings: dict[str, Any]) -> None:
    config = queries.parsed(job.config)
    assert config is not None, "a job that runs has passed the door"
    if not is_storable(settings):
        raise Unusable(
            "bad_settings",
            "The settings hold a number that is not finite, text that is no UTF-8, or "
            "are nested too deep.",
            "Correct them; an answer cannot hold any of these.",
            field="settings",
        )
    try:
        changed_job(config, settings, step=job.step)
    except JobRefused as refusal:
        raise Unusable("bad_change", refusal.message, problems=refusal.problems) from None


def _training_name(config: dict[str, Any]) -> str:
    if unstorable := storage_problems(config):
        raise Unusable("bad_config", "", problems=unstorable)
    name = usable_name(config)
    if name is None:
        panel = config.get("job")
        said = panel.get("training_name") if isinstance(panel, dict) else None
        raise Unusable(
            "bad_training_name",
            f"{said!r} cannot be a training name." if said else "The job needs a training name.",
            "Use letters, digits, _ and -, at most 64, beginning with a letter or digit.",
            field="job.training_name",
            params={"value": said if isinstance(said, str | int | float) else None},
        )
    return name


def enqueue(session: Session, job: Job, admitted: Admitted, *, reason: str) -> None:
    """Put a job that passed the door at the queue's end; the session is a writer's."""
    last = session.scalar(select(func.max(Job.queue_order))) or 0
    moved = move(
        session,
        job.id,
        from_status=job.status,
        to_status=JobStatus.QUEUED,
        reason=reason,
        # With every default written out: a later version's defaults do not change this job.
        config=admitted.work.model_dump(mode="json"),
        gpu=gpu_of(admitted.work),
        too_small_devices=admitted.too_small_devices,
        warnings=[problem.as_dict() for problem in admitted.warnings],
        queue_order=last + 1,
        stop_requested_at=None,
        error=None,
        finished_at=None,
        phase=None,
        progress=None,
    )
    assert moved, "the session that read the status holds the write lock"


def _refuse_all(problems: list[Problem]) -> None:
    if problems:
        raise Conflict(problems[0].code, "", problems=problems)


def _refuse_unless_editable(job: Job) -> None:
    if job.status not in EDITABLE:
        raise _wrong_state(job, "queued", "It waits or runs already.")
    _refuse_what_is_being_deleted(job)


def _refuse_what_is_being_deleted(job: Job) -> None:
    if job.delete_request is not None:
        raise _wrong_state(
            job, "used any more: it is being deleted", "Restore it from the trash afterwards."
        )


def _wrong_state(job: Job, deed: str, hint: str) -> Conflict:
    status = queries.shown_status(job)
    return Conflict(
        "wrong_state",
        f"{job.training_name} is {status} and cannot be {deed}.",
        hint,
        params={"status": status.value, "job_id": job.id},
    )


def _refuse_unknown_checkpoint(settings: Settings, job: Job, step: int | None) -> None:
    known = JobFolder(settings.output_dir, job.training_name).checkpoint_steps()
    if step in (None, 0) or step in known:
        return
    there = ", ".join(map(str, known)) or "none"
    raise Unusable(
        "no_such_checkpoint",
        f"{job.training_name} has no checkpoint of step {step}.",
        f"There are: {there}. 0 begins anew.",
        field="resume_from_step",
        params={"step": step, "known": known},
    )
