"""Bring the database to the present revision; run by every command before it opens the database.

`darkroom up` starts server and worker at once, so a lock beside the file lets one migrate and the
other find it done. Foreign keys are off while tables are copied, and checked before the commit. A
database that already holds something is copied first, to `darkroom.db.before-0002`; the last three
copies stay. Without a whole copy on the disk nothing is changed.
"""

from __future__ import annotations

import glob
import math
import os
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
from trainer.durable_write import flush_file, flush_folder

KEPT_COPIES = 3


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
        _keep_a_copy(connection, file, f"{file.name}.before-{head}")
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


def _keep_a_copy(connection: Connection, file: Path, name: str) -> None:
    """Copy the database whole, or not at all; older copies make room only once it is there.

    Raises BadSettings if the disk has no room for it.
    """
    temporary = file.with_name(f"{name}.writing")
    temporary.unlink(missing_ok=True)
    try:
        _raw(connection).execute("VACUUM INTO ?", (str(temporary),)).close()
        flush_file(temporary)
        os.replace(temporary, file.with_name(name))
        flush_folder(file.parent)
    except (sqlite3.Error, OSError) as error:
        megabytes = math.ceil(file.stat().st_size / 1e6)
        raise BadSettings(
            f"{file} cannot be updated: no copy of it could be kept beside it ({error}). "
            f"Make about {megabytes} MB of room in {file.parent}; nothing was changed."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    copies = sorted(file.parent.glob(f"{glob.escape(file.name)}.before-*"), key=_made_at)
    for old in copies[:-KEPT_COPIES]:
        old.unlink(missing_ok=True)


def _made_at(copy: Path) -> tuple[int, str]:
    return copy.stat().st_mtime_ns, copy.name


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
