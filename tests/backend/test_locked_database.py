"""A database that another program holds for longer than anybody waits: trouble that passes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from backend.db import engine
from backend.db.engine import Database
from backend.db.models import Worker as WorkerRow
from backend.launchers.local import LocalLauncher
from backend.settings import Settings
from backend.worker.ending import Ending
from backend.worker.loop import Worker
from tests.backend.jobs.test_jobs_api import codes
from tests.integration.processes import eventually


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def release(settings: Settings) -> Iterator[Callable[[], object]]:
    """The database is locked; a call lets it go."""
    connection = sqlite3.connect(settings.database_file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    yield lambda: connection.execute("ROLLBACK")
    connection.close()


def test_a_worker_that_starts_meanwhile_signs_on_later(
    settings: Settings,
    database: Database,
    release: Callable[[], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ending = Ending()
    worker = Worker(settings, database, LocalLauncher())
    thread = threading.Thread(target=worker.run, args=(ending,))
    thread.start()
    try:
        eventually(lambda: "database is locked" in caplog.text, "it met the lock")
        release()
        eventually(lambda: row_of(database), "it signs on")
    finally:
        ending.set()
        thread.join()
    row = row_of(database)
    assert row is not None
    assert row.ended_at is not None, "it ended in order"


def test_a_worker_that_is_told_to_end_meanwhile_ends(
    settings: Settings,
    database: Database,
    release: Callable[[], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    release()
    ending = Ending()
    worker = Worker(settings, database, LocalLauncher())
    thread = threading.Thread(target=worker.run, args=(ending,))
    thread.start()
    eventually(lambda: row_of(database), "it signs on")
    with sqlite3.connect(settings.database_file, isolation_level=None, timeout=60) as connection:
        connection.execute("BEGIN IMMEDIATE")
        ending.set()
        thread.join()
        connection.execute("ROLLBACK")
    connection.close()
    assert "database is locked" in caplog.text
    row = row_of(database)
    assert row is not None
    assert row.ended_at is None, "its process id tells that it is gone"


def test_the_server_says_so_and_changes_nothing(
    client: TestClient, release: Callable[[], object]
) -> None:
    answer = client.post("/api/queue/pause", json={})
    assert (answer.status_code, codes(answer)) == (503, ["database_locked"])
    assert answer.headers["retry-after"]
    assert client.get("/api/queue").json()["paused"] == [], "reading goes on"
    release()
    assert client.post("/api/queue/pause", json={}).json()["paused"] == ["all"]


def row_of(database: Database) -> WorkerRow | None:
    with database.read() as session:
        return session.scalar(select(WorkerRow))
