"""The keeper with the real worker and a training: what the containers rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.models import Job, Run
from backend.jobs.service import create_job, stop_job
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.backend.installation import environment_in, job_config, make_dataset, settings_in
from tests.integration.processes import until_status, worker

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    make_dataset(settings.datasets_dir / "shapes")
    migrate(settings)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def keeper(tmp_path: Path, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.worker.keeper", "--stop-seconds", "20"],
        cwd=ROOT,
        env={**os.environ, **environment_in(tmp_path)},
    )
    yield process
    if process.poll() is None:
        process.terminate()
    process.wait(timeout=60)


@dataclass(frozen=True)
class Owned:
    """A run's process, and the worker that watches it."""

    process_id: int
    worker_id: str


def run_of(database: Database, job_id: int) -> Owned | None:
    with database.read() as session:
        row = session.execute(
            select(Run.process_id, Run.worker_id).where(
                Run.job_id == job_id, Run.status == "running", Run.process_id.is_not(None)
            )
        ).first()
    return Owned(*row) if row else None


def until(ask: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + 60
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"a minute went by without {what}"
        time.sleep(0.02)
    return answer


def test_a_renewed_worker_takes_the_running_training_over_and_can_stop_it(
    keeper: subprocess.Popen[bytes], database: Database, settings: Settings
) -> None:
    job = create_job(database, settings, job_config(behaviour="wait"), queue=True)

    def status() -> str:
        with database.read() as session:
            return session.get_one(Job, job.id).status

    before = until(lambda: run_of(database, job.id), "a running training")
    training = psutil.Process(before.process_id)

    keeper.send_signal(signal.SIGHUP)

    def taken_over() -> Owned | None:
        run = run_of(database, job.id)
        return run if run and run.worker_id != before.worker_id else None

    after = until(taken_over, "another worker for the run")
    assert after.process_id == before.process_id
    assert training.is_running()
    assert training.ppid() == keeper.pid
    assert status() == "running"

    stop_job(database, settings, job.id)
    until(lambda: status() == "stopped", "the stop")
    assert not training.is_running()


def test_what_trained_when_its_container_was_stopped_goes_on_by_itself_in_the_next(
    keeper: subprocess.Popen[bytes], tmp_path: Path, database: Database, settings: Settings
) -> None:
    config = job_config(behaviour="chain", training={"steps": 5000})
    job = create_job(database, settings, config, queue=True)

    def run_at_work(number: int) -> Run | None:
        with database.read() as session:
            return session.scalar(
                select(Run).where(Run.number == number, Run.last_step > Run.first_step)
            )

    until(lambda: run_at_work(1), "some steps")
    keeper.terminate()
    keeper.wait(timeout=60)

    with worker(tmp_path):
        second = until(lambda: run_at_work(2), "a second run")
        stop_job(database, settings, job.id)
        until_status(database, job.id, JobStatus.STOPPED)
    first = run_at_work(1)
    assert first is not None
    assert first.status == "interrupted"
    assert second.first_step == first.last_step, "it had saved"
