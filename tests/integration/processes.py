"""Real servers, workers and trainers, started and ended by a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.jobs.service import create_job
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.backend.installation import environment_in, job_config

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 240  # a machine may be very busy; a healthy wait takes a fraction of a second


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` gives once it gives something; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return pytest.fail(f"not within {DEADLINE_SECONDS} s: {what}")


def add_job(
    database: Database,
    settings: Settings,
    name: str = "style",
    behaviour: str = "ok",
    **panels: Any,
) -> int:
    """Queue a job for the stand-in trainer; its id."""
    config = job_config(name, behaviour, **panels)
    return create_job(database, settings, config, queue=True).id


def job_of(database: Database, job_id: int) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def last_run_of(database: Database, job_id: int) -> Run:
    with database.read() as session:
        runs = session.query(Run).filter_by(job_id=job_id).order_by(Run.number).all()
        assert runs
        return runs[-1]


def until_status(database: Database, job_id: int, status: JobStatus) -> Job:
    def reached() -> Job | None:
        job = job_of(database, job_id)
        return job if job.status == status else None

    return eventually(reached, f"job {job_id} is {status}")


@contextmanager
def program(folder: Path, *command: str, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of this project with the settings of `folder`; killed at the end if it lives."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DARKROOM_")}
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment | environment_in(folder, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


@contextmanager
def worker(folder: Path, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """A worker process."""
    with program(folder, "backend.worker", **settings) as child:
        yield child


@contextmanager
def server(folder: Path, command: str = "serve", **settings: Any) -> Iterator[tuple[Any, str]]:
    """A server process and its address, read from the line it prints."""
    with program(folder, "backend.cli", command, **settings) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("Darkroom is ready:"):
                yield child, line.split()[3]
                return
        pytest.fail("the server ended before it was ready")


def end(child: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Signal a process and wait for it; what it printed since."""
    child.send_signal(number)
    output, _ = child.communicate(timeout=DEADLINE_SECONDS)
    return output


def is_running(process_id: int) -> bool:
    """Whether a process lives; one that ended and was not reaped does not."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
