"""Bring the database to the present revision; run by every command before it opens the database.

`darkroom up` starts server and worker at once, so a lock beside the file lets one migrate and the
other find it done. Foreign keys are off while tables are copied, and checked before the commit. A
database that already holds something is copied first: `darkroom.db.before-0002`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from backend.db.engine import Database
from backend.errors import BadSettings
from backend.settings import Settings


def migrate(settings: Settings) -> None:
    """Create or upgrade the database. Raises BadSettings if this version cannot use the file."""
    file = settings.database_file
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.migrating"):
        database = Database(settings.database_url)
        try:
            with database.engine.connect() as connection:
                _upgrade(connection, file)
        except DatabaseError as error:
            raise BadSettings(f"{file} cannot be opened as a database: {error.orig}.") from error
        finally:
            database.close()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration without a file: the revisions ship in this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, file: Path) -> None:
    config = alembic_config(connection)
    head = ScriptDirectory.from_config(config).get_current_head()
    present = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    if present == head:
        return
    _refuse_newer(config, present, file)
    if present is not None:
        _copy(connection, file.with_name(f"{file.name}.before-{head}"))
    _raw(connection).execute("PRAGMA foreign_keys=OFF").close()
    with connection.begin():
        command.upgrade(config, "head")
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        assert not broken, f"the migration to {head} broke references: {broken[:5]}"


def _refuse_newer(config: Config, present: str | None, file: Path) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise BadSettings(
            f"{file} is at revision {present}, which this version does not know: a newer Darkroom "
            "wrote it. Update, or set DARKROOM_DATABASE_URL to another file."
        )


def _copy(connection: Connection, target: Path) -> None:
    target.unlink(missing_ok=True)
    _raw(connection).execute("VACUUM INTO ?", (str(target),)).close()


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
