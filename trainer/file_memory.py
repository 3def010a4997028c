"""What was learned by reading a file, remembered for as long as the file does not change.

A dataset of 5,000 pictures is looked at again and again: at every check of the form, at every start
of a run. Each look needs every picture's size (its header) and its hash (all its bytes), and the
proof of every encoded tensor. Read anew each time, that is minutes of disk; remembered, it is one
`stat` a file.

**When a memory counts.** A file is taken to be the one that was read if its length, its time of
change to the nanosecond, its inode and the inode's own time of change are all the same. The last
one is what makes the others honest: a program may set a file's time of change back, as `cp -p` and
archives do, but not the time at which it did so. A file that was changed less than two seconds
before it was read is read again next time, since a second change within the clock's tick would look
like none (git's index knows the same rule).

**What a wrong memory would do.** Train on the latents of a picture's older content. So the memory
holds nothing that cannot be had from the files, is thrown away when it cannot be read, and whoever
reads a remembered tensor proves its bytes all the same.

It is one SQLite file in the cache folder, shared by the server's checks and all runs; writers queue
up at it. Where it cannot be written, work goes on without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.fingerprints import file_sha256
from trainer.pictures import upright_size

MEMORY_FILE = "files.sqlite3"
# A version of the table: another layout is another file content, and the old one is dropped.
_LAYOUT_VERSION = 1
_SETTLED_AFTER_SECONDS = 2.0
_WAIT_FOR_WRITERS_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """What one file is known to be; None is what nobody asked for yet.

    state: what tells this content from another. size_px: of a picture, upright.
    """

    state: tuple[int, int, int, int]
    size_px: tuple[int, int] | None = None
    sha256: str | None = None
    is_proved: bool = False


class FileMemory:
    """Answers from memory where a file is unchanged, and by reading it otherwise.

    Safe to ask from several threads. `num_read` counts the files that had to be read.
    """

    def __init__(self, cache: Path | None) -> None:
        """cache: the folder that keeps the memory; None remembers for this object's life only."""
        self._file = None if cache is None else cache / MEMORY_FILE
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._new: dict[str, _Known] = {}
        self._loaded_folders: set[str] = set()
        self.num_read = 0

    def upright_size(self, path: Path) -> tuple[int, int]:
        """As `pictures.upright_size`. Raises UnreadablePicture."""
        try:
            state = _state(path)
        except OSError:
            return upright_size(path)  # which says what is wrong with it
        known = self._recall(path, state)
        if known.size_px is None:
            self._count()
            size_px = upright_size(path)
            self._learn(path, state, size_px=size_px)
            return size_px
        return known.size_px

    def sha256(self, path: Path) -> str:
        """As `fingerprints.file_sha256`. Raises OSError."""
        state = _state(path)
        known = self._recall(path, state)
        if known.sha256 is None:
            self._count()
            sha256 = file_sha256(path)
            self._learn(path, state, sha256=sha256)
            return sha256
        return known.sha256

    def is_proved(self, path: Path) -> bool:
        """Whether `prove` was called for the file as it lies there now."""
        try:
            return self._recall(path, _state(path)).is_proved
        except OSError:
            return False

    def prove(self, path: Path, *, is_final: bool = False) -> None:
        """Remember that the file as it lies there now was read and found whole.

        is_final: nobody writes to a file of this name once it is there, as one that was written
        under another name and renamed; then it counts at once, however young it is.
        """
        with contextlib.suppress(OSError):
            self._learn(path, _state(path), is_final=is_final, is_proved=True)

    def save(self) -> None:
        """Keep what was learned for the next process."""
        with self._lock:
            new, self._new = self._new, {}
        if not new or self._file is None:
            return
        rows = [
            (path, *known.state, *(known.size_px or (None, None)), known.sha256, known.is_proved)
            for path, known in new.items()
        ]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with _opened(self._file) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
                )
        except (sqlite3.Error, OSError) as error:
            log.warning("what was read is not remembered: %s: %s", self._file, error)

    def _recall(self, path: Path, state: tuple[int, int, int, int]) -> _Known:
        key = os.path.abspath(path)
        with self._lock:
            self._load(os.path.dirname(key))
            known = self._known.get(key)
        return known if known is not None and known.state == state else _Known(state)

    def _learn(
        self,
        path: Path,
        state: tuple[int, int, int, int],
        *,
        is_final: bool = False,
        **found: object,
    ) -> None:
        key = os.path.abspath(path)
        with self._lock:
            self._load(os.path.dirname(key))
            before = self._known.get(key)
            if before is None or before.state != state:
                before = _Known(state)
            self._known[key] = known = replace(before, **found)  # type: ignore[arg-type]
            if is_final or time.time() - state[1] / 1e9 >= _SETTLED_AFTER_SECONDS:
                self._new[key] = known

    def _count(self) -> None:
        with self._lock:
            self.num_read += 1

    def _load(self, folder: str) -> None:
        """All that is known of a folder's files, at the first question about one of them."""
        if folder in self._loaded_folders or self._file is None:
            return
        self._loaded_folders.add(folder)
        if not self._file.exists():
            return
        start = folder.rstrip(os.sep) + os.sep
        try:
            with _opened(self._file) as connection:
                # From "folder/" up to "folder0", the sign after the slash: the primary key's order.
                rows = connection.execute(
                    "SELECT * FROM files WHERE path >= ? AND path < ?", (start, start[:-1] + "0")
                ).fetchall()
        except (sqlite3.Error, OSError) as error:
            log.warning("what was read before is not remembered: %s: %s", self._file, error)
            return
        for path, size_bytes, changed_ns, inode, touched_ns, width, height, sha256, proved in rows:
            state = (size_bytes, changed_ns, inode, touched_ns)
            size_px = None if width is None else (width, height)
            self._known.setdefault(path, _Known(state, size_px, sha256, bool(proved)))


def _state(path: Path) -> tuple[int, int, int, int]:
    """Length, time of change, inode, time of the inode's change. Raises OSError."""
    about = path.stat()
    # Windows gives unsigned 64-bit file numbers; SQLite's integers are signed.
    inode = about.st_ino - (1 << 64) if about.st_ino >= 1 << 63 else about.st_ino
    return about.st_size, about.st_mtime_ns, inode, about.st_ctime_ns


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The database with its table; one that is damaged or of another layout is begun anew."""
    try:
        connection = _connection(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # busy, full or not writable: the file itself may be sound
        file.unlink(missing_ok=True)
        connection = _connection(file)
    with contextlib.closing(connection):
        yield connection


def _connection(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WAIT_FOR_WRITERS_SECONDS, isolation_level=None)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _LAYOUT_VERSION:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DROP TABLE IF EXISTS files")
            connection.execute(
                "CREATE TABLE files (path TEXT PRIMARY KEY, size_bytes INT, changed_ns INT, "
                "inode INT, touched_ns INT, width_px INT, height_px INT, sha256 TEXT, proved INT) "
                "WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version = {_LAYOUT_VERSION}")
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
