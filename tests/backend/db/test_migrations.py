from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, DateTime, Float, Integer, MetaData, Table, select

from backend.db.engine import Database
from backend.db.migrate import alembic_config, migrate
from backend.db.models import Base, Job
from backend.errors import BadSettings
from backend.jobs import queries
from backend.settings import Settings
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


REVISIONS = [
    script.revision
    for script in ScriptDirectory(
        str(Path(__file__).parents[3] / "backend" / "db" / "migrations")
    ).walk_revisions()
]
MOMENT = datetime(2026, 1, 31, 20, 15, 0, 250_000, tzinfo=UTC).replace(tzinfo=None)
WORDS = {
    "status": "completed",
    "from_status": "running",
    "to_status": "completed",
    "command": "save",
    "outcome": "taken",
    "training_name": "style",
    "kind": "training",
}


def value_for(column: Any) -> Any:
    """Something that the column may hold; 1 for numbers, so that references lead somewhere."""
    if column.name == "given_at":
        return None  # 0003 forgets commands that were given: nobody knows what became of them
    match column.type:
        case JSON():
            return {"jobs": [1]} if column.name in ("config", "data", "settings") else []
        case Boolean():
            return True
        case DateTime():
            return MOMENT
        case Integer() | Float():
            return 1
        case _:
            return WORDS.get(column.name, "text")


def make_at(settings: Settings, revision: str) -> dict[str, dict[str, Any]]:
    """A database as that revision made it, with a row in every table; the rows by table."""
    settings.database_file.parent.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    rows: dict[str, dict[str, Any]] = {}
    with database.engine.connect() as connection:
        with connection.begin():
            command.upgrade(alembic_config(connection), revision)
        tables = MetaData()
        tables.reflect(connection)
        connection.rollback()
        with connection.begin():
            for table in tables.sorted_tables:
                if table.name in ("alembic_version", "sqlite_sequence"):
                    continue
                row = {column.name: value_for(column) for column in table.columns}
                rows[table.name] = row | {"progress": None, "error": None, "finish": None}
                rows[table.name] = {k: v for k, v in rows[table.name].items() if k in row}
                connection.execute(table.insert(), rows[table.name])
    database.close()
    return rows


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_revision_all_that_was_there_is_still_there_and_can_be_read(
    tmp_path: Path, revision: str
) -> None:
    settings = settings_in(tmp_path)
    before = make_at(settings, revision)
    migrate(settings)
    database = Database(settings.database_url)
    with database.engine.connect() as connection:
        for name, row in before.items():
            table = Table(name, MetaData(), autoload_with=connection)
            (found,) = connection.execute(select(table)).mappings().all()
            assert {key: found[key] for key in row} == row, name
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with database.read() as session:
        for mapper in Base.registry.mappers:
            expected = 1 if mapper.local_table.name in before else 0
            assert len(session.scalars(select(mapper.class_)).all()) == expected, mapper
        assert queries.read_job(session, settings, 1).training_name == "style"
        assert len(queries.list_metrics(session, 1, after_step=-1, max_points=10).items) == 1
    database.close()
    copies = list(tmp_path.glob("darkroom.db.before-*"))
    assert len(copies) == (0 if revision == REVISIONS[0] else 1)


def jobs_in(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    finally:
        connection.close()


def test_a_copy_from_before_is_kept_and_of_copies_the_last_three(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    make_at(settings, "0001")
    for revision in ("0000a", "0000b", "0000c"):
        (tmp_path / f"darkroom.db.before-{revision}").write_text(revision)
    (tmp_path / f"darkroom.db.before-{REVISIONS[0]}.writing").write_text("left by a power cut")
    migrate(settings)
    copies = sorted(path.name for path in tmp_path.glob("darkroom.db.before-*"))
    newest = f"darkroom.db.before-{REVISIONS[0]}"
    assert copies == ["darkroom.db.before-0000b", "darkroom.db.before-0000c", newest]
    assert jobs_in(tmp_path / newest) == 1
    connection = sqlite3.connect(tmp_path / newest)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    connection.close()


WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from backend.db.migrate import migrate
from backend.errors import BadSettings
from tests.backend.installation import settings_in
settings = settings_in(Path(sys.argv[1]))
size = settings.database_file.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
try:
    migrate(settings)
except BadSettings as error:
    print(error)
"""


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    make_at(settings, "0001")
    connection = sqlite3.connect(settings.database_file)
    connection.execute("INSERT INTO feed (name, data) VALUES ('log', ?)", ("x" * 400_000,))
    connection.commit()
    connection.close()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert "no copy of it could be kept" in done.stdout
    assert "nothing was changed" in done.stdout
    assert list(tmp_path.glob("darkroom.db.before-*")) == []
    connection = sqlite3.connect(settings.database_file)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    connection.close()
    migrate(settings)
    assert jobs_in(settings.database_file) == 1
