"""A trainer that falls silent, with a short patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import FeedEntry, Job
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.integration.processes import (
    add_job,
    eventually,
    job_of,
    last_run_of,
    until_status,
    worker,
)
from trainer.job_folder import JobFolder


def test_silence_is_announced_with_its_phase_and_ends_when_the_trainer_goes_on(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="sleepy")

    def alarm() -> dict[str, Any] | None:
        with database.read() as session:
            rows = session.scalars(select(FeedEntry).where(FeedEntry.name == "alarm"))
            said = [row.data for row in rows if row.data and row.data["code"] == "no_progress"]
        return said[-1] if said else None

    with worker(tmp_path, stall_seconds=0.5, low_disk_gib=0):
        raised = eventually(alarm, "an alarm")
        assert raised["active"]
        assert "has said nothing" in raised["message"]
        go = JobFolder(settings.output_dir, "style").run(1).path / "go"
        go.touch()
        until_status(database, job_id, JobStatus.COMPLETED)
    ended = alarm()
    assert ended is not None
    assert ended["active"] is False
    (problem,) = last_run_of(database, job_id).problems
    assert (problem["code"], problem["params"]["active"]) == ("no_progress", False)


def test_a_wait_for_space_is_shown_with_both_numbers_and_the_job_goes_on_by_itself(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="crowded")
    with worker(tmp_path, low_disk_gib=0):
        job = eventually(lambda: waiting_job(database, job_id), "it waits")
        assert job.progress["message"] == "waiting for space: needs 812 MB, 120 MB free"
        assert (job.phase, job.status) == ("save", JobStatus.RUNNING)
        eventually(lambda: last_run_of(database, job_id).problems, "an alarm")
        (JobFolder(settings.output_dir, "style").run(1).path / "room").touch()
        until_status(database, job_id, JobStatus.COMPLETED)
    (problem,) = last_run_of(database, job_id).problems
    assert (problem["code"], problem["params"]["active"]) == ("waiting_for_space", False)
    saving = job_of(database, job_id).saving_seconds
    assert saving is not None


def waiting_job(database: Database, job_id: int) -> Job | None:
    job = job_of(database, job_id)
    return job if job.progress and "waiting" in job.progress["message"] else None
