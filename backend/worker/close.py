"""The end of a run: its outcome into the job, its device free for the next one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.hooks.notice import notice_end
from backend.jobs.log import last_lines
from backend.jobs.status import JobStatus
from backend.launchers.launcher import Ended
from backend.runs.memory_kill import with_memory_kill
from backend.runs.outcome import LOG_TAIL_LINES, LastKnown, Outcome, outcome_of
from backend.runs.settle import settle
from backend.runs.stop_signs import stop_was_asked
from backend.settings import Settings
from backend.system.devices import host_memory
from backend.worker.fence import own_run
from backend.worker.interruption import resume_by_itself
from trainer.disk_places import OUT_OF_SPACE
from trainer.errors import BadCheckpoint, DiskFull, JobRefused, Problem

if TYPE_CHECKING:
    from backend.worker.watch import Watched

log = logging.getLogger(__name__)


def close_run(
    database: Database,
    settings: Settings,
    watched: Watched,
    ended: Ended,
    *,
    worker_id: str,
    used_force: bool,
) -> None:
    """Decide how the run ended, and move its job there. Raises RunLost."""
    log_tail: list[str] = []
    stop_was_told = False
    try:
        log_tail, _ = last_lines(watched.files.log, LOG_TAIL_LINES)
        stop_was_told = stop_was_asked(watched.files, watched.token)
    except OSError as error:  # the watch has waited for them, and told of it
        log.warning("job %d: what its trainer left cannot be read: %s", watched.job_id, error)
    with database.write() as session:
        run = own_run(session, watched.run_id, worker_id)
        job = session.get_one(Job, watched.job_id)
        outcome = outcome_of(
            LastKnown(
                finish=run.finish,
                exit_code=ended.exit_code,
                # Also asked after the last look, when nobody could be told any more.
                asked_to_stop=job.status == JobStatus.STOPPING
                or job.stop_requested_at is not None
                or stop_was_told,
                used_force=used_force,
                phase=run.phase,
                step=run.last_step or 0,
                log_tail=log_tail,
            )
        )
        outcome = with_memory_kill(outcome, ended, host_memory())
        _close(session, settings, job, run, outcome, ended.exit_code)


def close_unstarted(
    database: Database, settings: Settings, watched: Watched, error: Exception, *, worker_id: str
) -> None:
    """Close a run whose trainer could not be started. Raises RunLost."""
    problem = _why_unstarted(error)
    outcome = Outcome(JobStatus.FAILED, "the trainer could not be started", problem.as_dict())
    with database.write() as session:
        run = own_run(session, watched.run_id, worker_id)
        job = session.get_one(Job, watched.job_id)
        _close(session, settings, job, run, outcome, None)


def _why_unstarted(error: Exception) -> Problem:
    params = {"phase": None, "step": 0, "exit_code": None, "log_tail": []}
    if isinstance(error, JobRefused):
        return Problem(
            JobRefused.code,
            f"The job's settings cannot be used any more: {error}",
            "Edit the job, then queue it again.",
            error.problems[0].field,
            params=params,
        )
    if isinstance(error, BadCheckpoint):
        (problem,) = error.problems
        return replace(problem, params=params | dict(problem.params))
    message = f"The trainer could not be started: {error}."
    if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
        hint = "Free space on the disk of the output folder, then queue the job again."
        return Problem(DiskFull.code, message, hint, params=params)
    hint = "Check the disk, the rights on the output folder and the job, then queue it again."
    return Problem("launch_failed", message, hint, params=params)


def _close(
    session: Session,
    settings: Settings,
    job: Job,
    run: Run,
    outcome: Outcome,
    exit_code: int | None,
) -> None:
    settle(session, job, run, outcome, exit_code, ended_at=now())
    log.info("job %d (%s): %s", run.job_id, job.training_name, outcome.reason)
    job = session.get_one(Job, run.job_id)
    goes_on = outcome.status == JobStatus.INTERRUPTED and resume_by_itself(session, job, run)
    if not goes_on:
        notice_end(session, settings, job)
