"""One SQLite file, read by many and written by one at a time.

WAL lets readers go on while somebody writes. Writers begin with BEGIN IMMEDIATE: a transaction that
reads first and writes later would otherwise fail at once when another wrote in between, whatever
the busy timeout says. So there are two ways in: `read()` and `write()`. Both are short; nobody
holds one while waiting for a process, a disk or a browser.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.orm import Session

BUSY_TIMEOUT_MS = 10_000  # longest honest write is pruning, well under a second


class Database:
    """Short sessions on one SQLite file."""

    def __init__(self, url: str) -> None:
        # FastAPI's thread pool has 40 threads; each may hold one connection for a moment.
        self.engine = create_engine(url, pool_size=8, max_overflow=40)
        self._writer = self.engine.execution_options(begin="IMMEDIATE")
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one moment of the database and leaves nothing behind."""
        with Session(self.engine, autoflush=False, expire_on_commit=False) as session:
            # Closing rolls back. A rollback() here would expire what was read, and nobody could
            # look at it any more.
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, or leaves everything as it was."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close every connection; the last one folds the WAL into the file."""
        self.engine.dispose()


class CommitWatch:
    """Whether anybody has committed since the last `settle`: microseconds in place of a query.

    For programs that look often and seldom find anything. Only the thread that made it may use it.
    """

    def __init__(self, database: Database) -> None:
        file = database.engine.url.database
        assert file is not None, "settings admit files only"
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=0)
        self._settled = self.version()

    def has_changed(self) -> bool:
        """Whether there was a commit by another connection, of this process too."""
        version = self.version()
        return version is None or version != self._settled

    def settle(self, version: int | None) -> None:
        """Take what there was at that version for known."""
        self._settled = version

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def version(self) -> int | None:
        """Another one after each commit; None while that cannot be told, which counts as one."""
        try:
            return self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError:  # locked for a moment
            return None


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a queued job is on the disk when the answer is sent
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
