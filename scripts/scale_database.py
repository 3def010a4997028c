"""A database of the size that scale_benchmark.py measures, filled row by row without the server."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.db.migrate import migrate
from backend.settings import Settings
from trainer.config import JobConfig

NUM_JOBS = 10_000
NUM_METRICS = 5_000_000
STEPS_OF_A_CURVE = 20_000
NUM_LONG_JOBS = NUM_METRICS // STEPS_OF_A_CURVE
NUM_WAITING = 300
SAMPLES_OF_A_JOB = 5
BIG_JOB = 5_000  # somewhere in the middle; one of the long ones
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def fill(path: Path) -> None:
    """Make the database; it is not there before it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    migrate(Settings(_env_file=None, database_url=f"sqlite:///{unfinished}"))  # pyright: ignore[reportCallIssue]
    database = sqlite3.connect(unfinished)
    database.execute("PRAGMA synchronous=OFF")
    with database:
        add_jobs(database, NUM_JOBS, num_waiting=NUM_WAITING)
        database.executemany(
            "INSERT INTO runs (id, job_id, number, token, status, worker_id, host, device,"
            " started_at, finished_at, exit_code, first_step, last_step, events_offset,"
            " log_offset, problems)"
            " VALUES (?, ?, 1, ?, 'completed', 'w', 'h', 'cpu', ?, ?, 0, 0, ?, 0, 0, '[]')",
            (
                (number, number, f"token-{number}", _moment(number), _moment(number), 100)
                for number in range(1, NUM_JOBS + 1)
            ),
        )
        database.executemany(
            "INSERT INTO samples (job_id, run_id, step, prompt_index, prompt, seed, width, height,"
            " guidance_scale, sample_steps, path, created_at)"
            " VALUES (?, ?, ?, 0, 'a prompt', 42, 768, 768, 1, 25, ?, ?)",
            (
                (job, job, step * 250, f"samples/{step * 250:06d}_00.png", _moment(job))
                for job in range(1, NUM_JOBS + 1)
                for step in range(SAMPLES_OF_A_JOB)
            ),
        )
    for job in _long_jobs():
        with database:
            database.executemany(
                "INSERT INTO metrics (job_id, step, run_id, loss, objective, learning_rate,"
                " gradient_norm, step_seconds) VALUES (?, ?, ?, ?, ?, 1e-4, ?, 1.0)",
                _steps(job),
            )
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    unfinished.rename(path)


def add_jobs(database: sqlite3.Connection, num_jobs: int, *, num_waiting: int) -> None:
    """Finished jobs, and after them some that wait; their ids are 1, 2, 3 …"""
    database.executemany(
        "INSERT INTO jobs (id, training_name, status, config, gpu, queue_order, priority, step,"
        " warnings, created_at, updated_at, started_at, finished_at, loss, step_seconds)"
        " VALUES (?, ?, ?, ?, 'any', ?, 0, ?, '[]', ?, ?, ?, ?, 0.5, 1.0)",
        _jobs(num_jobs, num_waiting),
    )


def _long_jobs() -> Iterator[int]:
    """Spread over all, so that no curve lies beside the next."""
    stride = NUM_JOBS // NUM_LONG_JOBS
    return iter(range(BIG_JOB % stride or stride, NUM_JOBS + 1, stride))


def _steps(job: int) -> Iterator[tuple[float, ...]]:
    chance = random.Random(job)
    for step in range(1, STEPS_OF_A_CURVE + 1):
        loss = 0.4 + 0.6 / step + chance.random() / 10
        yield job, step, job, loss, loss, chance.random()


def _jobs(num_jobs: int, num_waiting: int) -> Iterator[tuple[object, ...]]:
    config = JobConfig.model_validate(
        {
            "job": {"training_name": "x"},
            "datasets": [{"target_dataset": "tiny-hatch"}],
            "sample": {"prompts": [{"prompt": "a house, [trigger]"}] * 4},
        }
    ).model_dump(mode="json")
    ends = ("completed", "completed", "completed", "failed", "stopped")
    for number in range(1, num_jobs + 1):
        waits = number > num_jobs - num_waiting
        config["job"]["training_name"] = f"style-{number:05d}"
        yield (
            number,
            f"style-{number:05d}",
            "queued" if waits else ends[number % len(ends)],
            json.dumps(config),
            number,
            0 if waits else 1000,
            _moment(number),
            _moment(number),
            None if waits else _moment(number),
            None if waits else _moment(number),
        )


def _moment(number: int) -> str:
    return (_BEGAN + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S.%f")
