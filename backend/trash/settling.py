"""Deeds of the trash that were cut off between the disk and the database, and their settling.

The move of the files is the last thing in the transaction that changes the rows, and an entry of
the trash goes after it. So whoever is killed in between leaves one of these:

    in the trash     in its place   rows     it was                         now
    files            nothing        there    a deletion before its commit   the files go back
    only the note    anything       there    a deletion before its move,    the note goes
                                             or a restoration but its end
    only the note    files          gone     a restoration before its       the rows are made
                                             commit

Deletions are taken back and restorations finished: nothing is lost by either. Rows are told by the
moment at which they were made, since a name, a step and a path can be another's by now; an entry of
a version that did not note it is left to a person.
"""

from __future__ import annotations

import logging
import os

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Checkpoint, Job, Sample
from backend.settings import Settings
from backend.trash import entries
from backend.trash.entries import Entry
from backend.trash.pictures import add_picture
from backend.trash.service import add_checkpoint, finish_job

log = logging.getLogger(__name__)


def settle_all(database: Database, settings: Settings) -> None:
    """Settle what a server or worker that was killed has left. For the server's start: nobody
    else restores anything, so that no restoration is in progress. Trouble is logged.
    """
    try:
        settle_deletions(database, settings)
        for entry in entries.entries(settings.output_dir):
            if _is_half_restored(settings, entry):
                _finish(database, settings, entry)
    except (OperationalError, OSError) as error:  # locked, or a full disk; the next start tries it
        log.warning("the trash cannot be settled just now: %s", error)
    except Exception:
        # A note that was changed by hand must not keep the server from starting.
        log.exception("the trash cannot be settled")


def settle_deletions(database: Database, settings: Settings, *, only: str | None = None) -> None:
    """Take back each deletion that was cut off before its commit, or those of one job. Raises
    OSError.

    At any moment and by any process: deletions move files under the database's write lock.
    """
    if not _entries(settings, only):
        return
    with database.write() as session:
        session.connection()  # takes the lock
        for entry in _entries(settings, only):
            try:
                _take_back(session, settings, entry)
            except (OperationalError, OSError):
                raise
            except Exception:
                # A note that was changed by hand must not keep the others waiting.
                log.exception("%s cannot be settled", entry.path)


def _take_back(session: Session, settings: Settings, entry: Entry) -> None:
    """Take the deletion back, if it was cut off."""
    if not _has_row(session, entry):
        return
    if not entry.has_content:
        entries.purge(entry)
    elif not os.path.lexists(settings.output_dir / entry.note.path):
        entries.put_back(settings.output_dir, entry)
        log.info("%s was not deleted after all: it is back in its place", entry.id)


def _entries(settings: Settings, only: str | None) -> list[Entry]:
    found = entries.entries(settings.output_dir)
    return [entry for entry in found if only in (None, entry.note.training_name)]


def _has_row(session: Session, entry: Entry) -> bool:
    """Whether the very thing that was deleted is in the database."""
    known = entry.note.known
    job = session.scalar(select(Job).where(Job.training_name == entry.note.training_name))
    row = job if entry.note.kind == "job" else _row(session, job, entry)
    return row is not None and row.created_at.isoformat() == known.get("created_at")


def _row(session: Session, job: Job | None, entry: Entry) -> Checkpoint | Sample | None:
    """Of a checkpoint or picture, or of what has its place now."""
    if job is None:
        return None
    known = entry.note.known
    if entry.note.kind == "picture":
        of_path = select(Sample).where(Sample.job_id == job.id, Sample.path == known.get("path"))
        return session.scalar(of_path)
    return session.scalar(
        select(Checkpoint).where(
            Checkpoint.job_id == job.id,
            Checkpoint.step == known.get("step"),
            Checkpoint.is_final == known.get("is_final"),
        )
    )


def _is_half_restored(settings: Settings, entry: Entry) -> bool:
    """A draft has no files to restore, so that its note alone says nothing."""
    return (
        not entry.has_content
        and entry.note.size_bytes > 0
        and "created_at" in entry.note.known
        and os.path.lexists(settings.output_dir / entry.note.path)
    )


def _finish(database: Database, settings: Settings, entry: Entry) -> None:
    log.info("%s was half restored: it is restored now", entry.id)
    if entry.note.kind == "job":
        finish_job(database, settings, entry)
        return
    with database.write() as session:
        job = session.scalar(select(Job).where(Job.training_name == entry.note.training_name))
        if job is None:
            return  # it was deleted as well, and brings its files along when it comes back
        if _row(session, job, entry) is None:
            if entry.note.kind == "picture":
                add_picture(session, settings, job, entry.note.known)
            else:
                add_checkpoint(session, job, entry.note.known)
    entries.purge(entry)
