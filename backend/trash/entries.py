"""The trash on the disk: what was deleted, each in a folder of its own under `output/.trash`.

    output/.trash/style-20260131-201500-250000/
      trash.json      what it was, where from, when, and what only the database knew of it
      style/          the job's folder, or step-000250/ of a checkpoint, or a picture's file, or
                      nothing for a mere draft

Things are moved, not copied, so that deleting costs no room and no time, whatever the size. The
note is written before the move and an entry is renamed before it is purged: a power cut leaves an
entry that is whole, or one that is on its way out. Links are moved and removed as links; what they
lead to is never touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from trainer.durable_write import flush_folder, move, write_text

TRASH = ".trash"
NOTE = "trash.json"
_GOING = ".going-"
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][\w-]*)-(?P<moment>\d{8}-\d{6}-\d{6})$")
_MOMENT = "%Y%m%d-%H%M%S-%f"


Kind = Literal["job", "checkpoint", "picture"]


@dataclass(frozen=True)
class Note:
    """What was deleted. path: in the output folder; known: what the database knew of it."""

    kind: Kind
    training_name: str
    path: str
    deleted_at: str
    size_bytes: int
    known: dict[str, Any]


_NOTE = TypeAdapter(Note)


@dataclass(frozen=True)
class Entry:
    """One thing in the trash."""

    path: Path
    note: Note

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def deleted_at(self) -> datetime:
        return datetime.fromisoformat(self.note.deleted_at)

    @property
    def content(self) -> Path:
        """The folder or file that was deleted; missing for a draft that had none."""
        return self.path / Path(self.note.path).name

    @property
    def has_content(self) -> bool:
        return os.path.lexists(self.content)


def put(
    output: Path,
    thing: Path,
    *,
    kind: Kind,
    training_name: str,
    known: dict[str, Any],
) -> Entry:
    """Move a folder or file of the output folder into the trash; a missing one leaves its note.

    Raises OSError, and then nothing was moved.
    """
    moment = datetime.now(UTC)
    entry = output / TRASH / f"{training_name}-{moment.strftime(_MOMENT)}"
    note = Note(
        kind=kind,
        training_name=training_name,
        path=thing.relative_to(output).as_posix(),
        deleted_at=moment.isoformat(),
        size_bytes=size_of(thing),
        known=known,
    )
    _write_note(entry, note)
    if os.path.lexists(thing):
        try:
            move(thing, entry / thing.name)
        except OSError:
            shutil.rmtree(entry)
            raise
    return Entry(entry, note)


def redirect(entry: Entry, *, path: str, known: dict[str, Any]) -> Entry:
    """Another place for it to go back to, under the same name. Raises OSError."""
    note = replace(entry.note, path=path, known=known)
    assert Path(path).name == entry.content.name
    _write_note(entry.path, note)
    return Entry(entry.path, note)


def move_back(output: Path, entry: Entry) -> None:
    """Move what was deleted to where it was, which must be free; the note stays. Raises OSError."""
    target = output / entry.note.path
    assert not os.path.lexists(target), f"{target} is taken"
    if entry.has_content:
        move(entry.content, target)


def move_in(output: Path, entry: Entry) -> None:
    """Move what `move_back` took out into the entry again. Raises OSError."""
    source = output / entry.note.path
    if os.path.lexists(source):
        move(source, entry.content)


def put_back(output: Path, entry: Entry) -> None:
    """Move what was deleted to where it was, and remove the entry. Raises OSError."""
    move_back(output, entry)
    purge(entry)


def entries(output: Path) -> list[Entry]:
    """What is in the trash, the latest first. What is no entry of ours is passed over."""
    trash = output / TRASH
    if not trash.is_dir() or trash.is_symlink():
        return []
    found = [_read(path) for path in trash.iterdir()]
    return sorted((e for e in found if e is not None), key=lambda e: e.deleted_at, reverse=True)


def find(output: Path, entry_id: str) -> Entry | None:
    """The entry with this id."""
    return next((entry for entry in entries(output) if entry.id == entry_id), None)


def purge(entry: Entry) -> None:
    """Remove an entry for good; one that another process has removed meanwhile is gone already."""
    going = entry.path.with_name(f"{_GOING}{entry.id}")
    try:
        os.rename(entry.path, going)
    except FileNotFoundError:
        return
    flush_folder(entry.path.parent)
    shutil.rmtree(going, ignore_errors=True)


def purge_expired(output: Path, *, days: int, now: datetime) -> list[Entry]:
    """Remove what has lain there for longer than `days`; 0 keeps everything. The entries gone."""
    trash = output / TRASH
    if not trash.is_dir() or trash.is_symlink():
        return []
    for left in trash.glob(f"{_GOING}*"):  # a purge that was cut off
        shutil.rmtree(left, ignore_errors=True)
    limit = now - timedelta(days=days)
    expired = [entry for entry in entries(output) if days and entry.deleted_at < limit]
    for entry in expired:
        purge(entry)
    return expired


def size_of(thing: Path) -> int:
    """Bytes of a file, or of the files in a folder; a link counts as itself."""
    if thing.is_symlink() or not thing.is_dir():
        return os.lstat(thing).st_size if os.path.lexists(thing) else 0
    return sum(os.lstat(file).st_size for file in _files(thing))


def _write_note(entry: Path, note: Note) -> None:
    write_text(entry / NOTE, json.dumps(asdict(note), ensure_ascii=False, indent=1))


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def _read(path: Path) -> Entry | None:
    match = _ENTRY.match(path.name)
    if match is None or path.is_symlink() or not path.is_dir():
        return None
    try:
        note = _NOTE.validate_json((path / NOTE).read_bytes())
        entry = Entry(path, note)
        # The note may have been edited: it must not lead anywhere else.
        is_ours = entry.deleted_at.tzinfo is not None and _is_inside(note)
    except (OSError, ValueError):
        return None
    return entry if is_ours else None


def _is_inside(note: Note) -> bool:
    parts = note.path.split("/")
    return parts[0] == note.training_name and not {"", ".", ".."} & set(parts)
