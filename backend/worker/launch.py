"""From a claimed job to a trainer's process."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.exc import OperationalError

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.change_rules import refuse_to_begin_anew_unasked
from backend.jobs.work import Work, parse_work
from backend.launchers.launcher import Launcher, Order, TrainerProcess
from backend.runs.record import add_problem
from backend.settings import Settings
from backend.trash.settling import settle_deletions
from backend.worker.claim import Claim
from backend.worker.fence import own_run
from trainer.drawing_config import DrawingConfig
from trainer.errors import JobRefused, Problem, Severity
from trainer.folders import PROJECT_FOLDER
from trainer.job_file import read_yaml, write_job_file
from trainer.job_folder import JobFolder
from trainer.resume_rules import NEVER

CHANGED_BY_HAND = "job.changed-by-hand.yaml"


def launch(
    database: Database, launcher: Launcher, settings: Settings, claim: Claim, *, worker_id: str
) -> TrainerProcess:
    """Write the job's or drawing's file, start the trainer, and record which process it is. Raises
    OSError, JobRefused, BadCheckpoint if the job's checkpoints are gone, or RunLost if another
    worker has closed the run since it was claimed.

    A worker that dies before the last line leaves a run without a process; the next one finds the
    trainer by the run's token (see recovery.py).
    """
    with database.read() as session:
        own_run(session, claim.run_id, worker_id)  # one that was frozen since its claim stops here
    # Or the job would begin anew, its files in the trash.
    settle_deletions(database, settings, only=claim.training_name)
    with database.read() as session:
        job = session.get_one(Job, claim.job_id)
        refuse_to_begin_anew_unasked(session, settings, job)
    folder = JobFolder(settings.output_dir, claim.training_name)
    work = parse_work(claim.config)
    change = set_aside_change_by_hand(folder, work)
    write_job_file(folder.job_file, work)
    process = launcher.start(_order(settings, claim, folder, work))
    try:
        with database.write() as session:
            run = own_run(session, claim.run_id, worker_id)
            if change is not None:
                add_problem(run, change)
            run.process_id = process.process_id
            run.process_start_ticks = process.start_ticks
    except OperationalError:
        raise  # the next turn finds the trainer by its token
    except Exception:
        launcher.kill(process)  # nobody would watch it
        raise
    return process


def set_aside_change_by_hand(folder: JobFolder, work: Work) -> Problem | None:
    """What to say of a job.yaml that somebody edited since the last run; it is kept beside.

    The last run's own copy tells what was written then. Raises OSError.
    """
    numbers = folder.run_numbers()
    if not numbers or not folder.job_file.is_file():
        return None
    written = _work_in(folder.run(numbers[-1]).job_file)
    found = _work_in(folder.job_file)
    if written is None or found in (written, work):
        return None
    kept = folder.job_file.with_name(CHANGED_BY_HAND)
    os.replace(folder.job_file, kept)
    what = "cannot be read any more" if found is None else "was changed by hand"
    return Problem(
        "job_file_changed",
        f"{folder.job_file} {what} since the last run; the job was started as the queue knows it.",
        f"The changed file is kept as {kept.name}. Change the job in the page, or import the file.",
        severity=Severity.WARNING,
        params={"kept_as": folder.relative(kept)},
    )


def _work_in(path: Path) -> Work | None:
    try:
        return parse_work(read_yaml(path))
    except JobRefused:
        return None


def _order(settings: Settings, claim: Claim, folder: JobFolder, work: Work) -> Order:
    draws = isinstance(work, DrawingConfig)
    command = [
        *settings.trainer_command,
        "draw" if draws else "run",
        str(folder.job_file),
        "--output",
        str(settings.output_dir),
        "--run-number",
        str(claim.run_number),
        "--token",
        claim.token,
        "--datasets",
        str(settings.datasets_dir),
        "--models",
        str(settings.models_dir),
        "--cache",
        str(settings.cache_dir),
        *([] if draws else _resume_words(claim.resume_from_step)),
    ]
    return Order(
        command=command,
        environment=settings.trainer_environment(claim.device),
        folder=PROJECT_FOLDER,
        log=folder.run(claim.run_number).log,
        token=claim.token,
    )


def _resume_words(step: int | None) -> list[str]:
    """Where the run begins: the newest checkpoint unless somebody chose otherwise."""
    if step is None:
        return []
    return ["--resume", NEVER if step == 0 else str(step)]
