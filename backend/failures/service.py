"""A job's failure with its cures, computed when somebody looks, and a cure applied.

Nothing of it is stored: a cure is judged by the machine, the disk and the datasets as they are now.
Applying one judges it again and does what the same key did when it was shown, or refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.errors import Conflict
from backend.failures.classes import class_of, likely_cause, signal_name
from backend.failures.cures import Failed, proposals_for
from backend.failures.proposals import Proposal
from backend.failures.schemas import CureRequest, Failure, FailureCure
from backend.jobs import queries, schemas, service
from backend.jobs.log import last_lines
from backend.jobs.machines import machines_for
from backend.jobs.status import JobStatus
from backend.runs.outcome import LOG_TAIL_LINES
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.job_folder import JobFolder
from trainer.machine import Machine

_NAME_LENGTH = 64


@dataclass(frozen=True)
class _Rows:
    """The job and its latest run as they are in the database; error: the job's, if it failed."""

    job_id: int
    name: str
    status: JobStatus
    config: dict[str, Any]
    error: dict[str, Any] | None
    phase: str | None
    run_number: int | None
    exit_code: int | None
    device: str | None


def read_failure(database: Database, settings: Settings, job_id: int) -> Failure | None:
    """Why the job failed; None for one that did not. Raises NotFound."""
    with database.read() as session:
        rows = _rows(session, job_id)
    if rows.error is None:
        return None
    params = rows.error.get("params") or {}
    failed = _failed(database, settings, rows)
    proposals = [] if failed is None else proposals_for(failed)
    kind = class_of(rows.error["code"], rows.exit_code)
    folder = JobFolder(settings.output_dir, rows.name)
    return Failure(
        failure_class=kind,
        code=rows.error["code"],
        message=rows.error["message"],
        hint=rows.error["hint"],
        likely_cause=likely_cause(kind, rows.exit_code),
        phase=params.get("phase") or rows.phase,
        step=params.get("step"),
        exit_code=rows.exit_code,
        signal=signal_name(rows.exit_code),
        run=rows.run_number,
        last_lines=_last_lines(folder, rows, params),
        cures=[_cure(job_id, proposal, folder) for proposal in proposals],
    )


def apply_cure(database: Database, settings: Settings, job_id: int, key: str) -> schemas.Job:
    """Change and queue the job, or queue a changed copy where its work does not fit the change.

    Raises NotFound, Conflict with the job's state or because the cure is not offered any more, or
    Unusable with what still stands against the job.
    """
    with database.read() as session:
        rows = _rows(session, job_id)
    if rows.error is None:
        raise Conflict(
            "wrong_state",
            f"{rows.name} is {rows.status} and has no failure to be cured.",
            "Look at the job again; it has changed.",
            params={"status": rows.status.value, "job_id": job_id},
        )
    failed = _failed(database, settings, rows)
    proposals = [] if failed is None else proposals_for(failed)
    proposal = next((found for found in proposals if found.key == key), None)
    if failed is None or proposal is None:
        raise Conflict(
            "cure_not_offered",
            f"{key} is no cure of {rows.name} any more: the job, the disk or the machine changed.",
            "Look at the failure again.",
            params={"key": key, "job_id": job_id, "status": rows.status.value},
        )
    changed = proposal.changed(failed.job) if proposal.settings else failed.job
    if proposal.needs_a_new_job(has_checkpoints=bool(failed.checkpoints)):
        copy = _as_new_job(changed, failed.checkpoints[-1], database, settings)
        return service.create_job(database, settings, copy.model_dump(mode="json"), queue=True)
    how = schemas.JobToQueue.model_validate({"resume_from_step": proposal.resume_from_step})
    return service.queue_job(
        database,
        settings,
        job_id,
        how,
        config=changed.model_dump(mode="json") if proposal.settings else None,
    )


def _rows(session: Session, job_id: int) -> _Rows:
    job = queries.find_job(session, job_id)
    runs = select(Run).where(Run.job_id == job_id).order_by(Run.number.desc())
    run = session.scalar(runs.limit(1))
    status = queries.shown_status(job)
    has_failed = status in (JobStatus.FAILED, JobStatus.INTERRUPTED)
    return _Rows(
        job_id=job_id,
        name=job.training_name,
        status=status,
        config=dict(job.config),
        error=job.error if has_failed else None,
        phase=job.phase,
        run_number=None if run is None else run.number,
        exit_code=_exit_code(job, run),
        device=None if run is None else run.device,
    )


def _exit_code(job: Job, run: Run | None) -> int | None:
    """Of the run; what the trainer said last counts where nobody saw it end."""
    if run is not None and run.exit_code is not None:
        return run.exit_code
    if run is not None and run.finish is not None:
        return run.finish.get("exit_code")
    return ((job.error or {}).get("params") or {}).get("exit_code")


def _failed(database: Database, settings: Settings, rows: _Rows) -> Failed | None:
    """What cures are found from; None for a config of an older version, which has to be edited, and
    for a drawing, which is made anew.
    """
    assert rows.error is not None
    job = queries.parsed(rows.config)
    if job is None:
        return None
    params = rows.error.get("params") or {}
    return Failed(
        kind=class_of(rows.error["code"], rows.exit_code),
        code=rows.error["code"],
        params=params,
        phase=params.get("phase") or rows.phase,
        exit_code=rows.exit_code,
        job=job,
        checkpoints=JobFolder(settings.output_dir, rows.name).checkpoint_steps(),
        folders=settings.folders,
        machine=_machine(job, rows.device, database, settings),
    )


def _machine(
    job: JobConfig, device: str | None, database: Database, settings: Settings
) -> Machine | None:
    """The device that the run had; if it is gone, the one that the next run would get."""
    found = machines_for(job.job.gpu, database, settings)
    same = [one.machine for one in found if one.id == device]
    others = sorted(found, key=lambda one: one.machine.vram_bytes or 0)
    return next(iter([*same, *(one.machine for one in others[-1:])]), None)


def _last_lines(folder: JobFolder, rows: _Rows, params: dict[str, Any]) -> list[str]:
    """As they were when the run ended; of its log where the failure does not hold them."""
    kept = params.get("log_tail")
    if kept:
        return [str(line) for line in kept][-LOG_TAIL_LINES:]
    if rows.run_number is None:
        return []
    return last_lines(folder.run(rows.run_number).log, LOG_TAIL_LINES)[0]


def _cure(job_id: int, proposal: Proposal, folder: JobFolder) -> FailureCure:
    steps = folder.checkpoint_steps()
    is_new_job = proposal.needs_a_new_job(has_checkpoints=bool(steps))
    begins = proposal.resume_from_step
    step = (steps[-1] if steps else None) if begins is None else (begins or None)
    why = proposal.why
    if is_new_job:
        why += (
            f" What was trained does not fit the change, so it becomes a new job: it starts from "
            f"the LoRA of step {steps[-1]} and takes the steps that are left, with a fresh "
            "optimizer."
        )
    return FailureCure(
        key=proposal.key,
        title=proposal.title,
        why=why,
        settings=dict(proposal.settings),
        goes_on_from_step=None if is_new_job else step,
        is_new_job=is_new_job,
        effect=proposal.effect,
        request=CureRequest(path=f"/api/jobs/{job_id}/cures/{proposal.key}"),
    )


def _as_new_job(
    job: JobConfig, newest_step: int, database: Database, settings: Settings
) -> JobConfig:
    """A copy under a free name that starts from what the newest checkpoint has learnt."""
    folder = JobFolder(settings.output_dir, job.job.training_name)
    data = job.model_dump(mode="json")
    data["job"]["training_name"] = _free_name(job.job.training_name, database, settings)
    data["training"]["start_from_lora"] = str(folder.checkpoint(newest_step))
    data["training"]["steps"] = max(1, job.training.steps - newest_step)
    return JobConfig.model_validate(data)


def _free_name(name: str, database: Database, settings: Settings) -> str:
    """NAME-2, or the first number after it that no job and no folder has."""
    with database.read() as session:
        taken = {taken.lower() for taken in session.scalars(select(Job.training_name))}
    number = 2
    while True:
        ending = f"-{number}"
        free = name[: _NAME_LENGTH - len(ending)] + ending
        if free.lower() not in taken and not (settings.output_dir / free).exists():
            return free
        number += 1
