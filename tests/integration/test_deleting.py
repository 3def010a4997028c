"""Deleting jobs that run, with a real worker: they end first, and nothing of them is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.status import JobStatus
from backend.settings import Settings
from backend.trash import entries
from backend.trash.deletion import delete_job
from tests.integration.processes import (
    add_job,
    end,
    eventually,
    is_running,
    job_of,
    last_run_of,
    until_status,
    worker,
)
from trainer.job_folder import JobFolder


def is_gone(database: Database, job_id: int) -> bool:
    with database.read() as session:
        return session.get(Job, job_id) is None


@pytest.mark.parametrize("behaviour", ["wait", "ignore"])
def test_a_deleted_job_ends_leaves_no_process_and_the_next_one_runs(
    tmp_path: Path, database: Database, settings: Settings, behaviour: str
) -> None:
    job_id = add_job(database, settings, behaviour=behaviour)
    next_id = add_job(database, settings, "next")
    with worker(tmp_path, stop_patience_seconds=0.2, kill_patience_seconds=0.2):
        eventually(lambda: job_of(database, job_id).step >= 2, "some steps")
        trainer = last_run_of(database, job_id).process_id
        assert delete_job(database, settings, job_id, files=True) is not None
        eventually(lambda: is_gone(database, job_id), "the job is deleted")
        assert trainer is not None
        assert not is_running(trainer)
        until_status(database, next_id, JobStatus.COMPLETED)
    (entry,) = entries.entries(settings.output_dir)
    kept = JobFolder(entry.path, "style")
    assert not JobFolder(settings.output_dir, "style").path.exists()
    assert kept.checkpoint_steps() == ([5] if behaviour == "wait" else []), "it saved as it ended"


def test_a_worker_that_dies_after_the_request_leaves_it_to_the_next_one(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait")
    with worker(tmp_path) as first:
        eventually(lambda: job_of(database, job_id).step == 5, "half of the steps")
        trainer = last_run_of(database, job_id).process_id
        assert trainer is not None
        end(first, signal.SIGKILL)
    delete_job(database, settings, job_id, files=False)
    assert is_running(trainer)
    with worker(tmp_path):
        eventually(lambda: is_gone(database, job_id), "the job is deleted")
    assert not is_running(trainer)
    assert JobFolder(settings.output_dir, "style").checkpoint_steps() == [5], "its files stay"
