"""From a claimed job to a trainer's process."""

from __future__ import annotations

from backend.db.engine import Database
from backend.db.models import Run
from backend.launchers.launcher import Launcher, Order, TrainerProcess
from backend.settings import Settings
from backend.worker.claim import Claim
from trainer.config import JobConfig
from trainer.folders import PROJECT_FOLDER
from trainer.job_file import write_job_file
from trainer.job_folder import JobFolder
from trainer.resume_rules import NEVER


def launch(
    database: Database, launcher: Launcher, settings: Settings, claim: Claim
) -> TrainerProcess:
    """Write the job file, start the trainer, and record which process it is. Raises OSError.

    A worker that dies before the last line leaves a run without a process; the next one finds the
    trainer by the run's token (see recovery.py).
    """
    folder = JobFolder(settings.output_dir, claim.training_name)
    write_job_file(folder.job_file, JobConfig.model_validate(claim.config))
    process = launcher.start(_order(settings, claim, folder))
    with database.write() as session:
        run = session.get_one(Run, claim.run_id)
        run.process_id = process.process_id
        run.process_start_ticks = process.start_ticks
    return process


def _order(settings: Settings, claim: Claim, folder: JobFolder) -> Order:
    command = [
        *settings.trainer_command,
        "run",
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
        *_resume_words(claim.resume_from_step),
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
