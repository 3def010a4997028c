from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.migrate import alembic_config, migrate
from backend.db.models import Base, Job
from backend.errors import BadSettings
from tests.backend.installation import settings_in


def tables(file: Path) -> set[str]:
    connection = sqlite3.connect(file)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    finally:
        connection.close()
    return {name for (name,) in rows}


def test_from_nothing_the_migrations_make_exactly_the_models(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    migrate(settings)
    assert set(Base.metadata.tables) <= tables(settings.database_file)
    database = Database(settings.database_url)
    with database.engine.connect() as connection:
        command.check(alembic_config(connection))  # raises if a model differs from its table
    database.close()


def test_migrating_again_keeps_what_is_there(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    migrate(settings)
    database = Database(settings.database_url)
    with database.write() as session:
        session.add(Job(training_name="kept", config={"a": [1]}))
    migrate(settings)
    with database.read() as session:
        assert session.scalars(select(Job)).one().config == {"a": [1]}
    database.close()


def test_programs_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate(settings)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert "jobs" in tables(settings.database_file)


def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    migrate(settings)
    connection = sqlite3.connect(settings.database_file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(BadSettings, match=r"revision 9999.*newer"):
        migrate(settings)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.database_file.write_text("this is not a database, but a letter to somebody" * 50)
    with pytest.raises(BadSettings, match=r"darkroom\.db cannot be opened"):
        migrate(settings)


def test_a_transaction_that_reads_before_it_writes_waits_for_its_turn(tmp_path: Path) -> None:
    """With a deferred BEGIN, the second of these would fail at once with 'database is locked'."""
    settings = settings_in(tmp_path)
    migrate(settings)
    database = Database(settings.database_url)
    with database.write() as session:
        session.add(Job(training_name="counter", config={"n": 0}))

    def count() -> None:
        for _ in range(20):
            with database.write() as session:
                job = session.scalars(select(Job)).one()
                job.config = {"n": job.config["n"] + 1}

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalars(select(Job)).one().config == {"n": 80}
    database.close()
