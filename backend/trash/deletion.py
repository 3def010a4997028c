"""Deleting a job: at once, or as soon as its run has ended.

A trainer writes to its folder until its last moment, so a job that runs is stopped first, as a
person would stop it. The request is a column of the job, `delete_request`: it outlives the server
that noted it and the worker that reads it. Whichever worker finds the run over carries it out, in a
transaction of its own after the one that settled the run, so that trouble with the trash (a full
disk, a folder in use) keeps no device busy; it is tried again until it is done.

The files move last in the transaction, so that a refused delete moves nothing; if the commit itself
fails, they are moved back. Who is killed between the two leaves that to `settling.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import DeleteRequest, Job
from backend.errors import Conflict
from backend.jobs import queries
from backend.jobs.feed import announce, announce_job, announce_queue
from backend.jobs.status import ACTIVE
from backend.settings import Settings
from backend.trash import entries
from backend.trash.entries import Entry
from backend.trash.schemas import Deletion
from trainer import folder_lock
from trainer.job_folder import JobFolder


def delete_job(
    database: Database, settings: Settings, job_id: int, *, files: bool
) -> Deletion | None:
    """Remove the job; its folder stays or goes to the trash. None once that is done.

    Of a job that runs, what is to be waited for; asked twice, the last answer about its files
    counts. Raises NotFound or Conflict.
    """
    with moving(settings) as moved, database.write() as session:
        job = queries.find_job(session, job_id)
        if job.status not in ACTIVE:
            moved += _delete(session, settings, job, files=files)
            return None
        job.delete_request = "with_files" if files else "keep_files"
        job.stop_requested_at = job.stop_requested_at or now()
        job.updated_at = now()
        announce_job(session, job_id)
        return Deletion(job_id=job_id, status=queries.shown_status(job), files=files)


def jobs_to_delete(session: Session) -> list[int]:
    """Jobs whose run is over and whose deletion was asked for while it lasted.

    Asked for by name, which SQLite finds by the index; for IS NOT NULL it would read every job.
    """
    asked = Job.delete_request.in_(get_args(DeleteRequest))
    wanted = select(Job.id).where(asked, Job.status.not_in(ACTIVE))
    return sorted(session.scalars(wanted))


def delete_as_asked(database: Database, settings: Settings, job_id: int) -> bool:
    """Carry out what was asked of one of `jobs_to_delete`; False if another worker was quicker.

    Raises Conflict, and then nothing was done.
    """
    with moving(settings) as moved, database.write() as session:
        job = session.get(Job, job_id)
        if job is None or job.delete_request is None or job.status in ACTIVE:
            return False
        moved += _delete(session, settings, job, files=job.delete_request == "with_files")
        return True


@contextmanager
def moving(settings: Settings) -> Iterator[list[Entry]]:
    """Collects what was moved; puts it back if the rows could not be written after all."""
    if (settings.output_dir / entries.TRASH).is_symlink():
        raise Conflict(
            "trash_is_a_link",
            f"{settings.output_dir / entries.TRASH} is a link, and the trash must be a folder.",
            "Remove the link; the trash is then made where the files are.",
        )
    moved: list[Entry] = []
    try:
        yield moved
    except BaseException:
        for entry in moved:
            entries.put_back(settings.output_dir, entry)
        raise


@contextmanager
def returning(settings: Settings) -> Iterator[list[Entry]]:
    """Collects what was moved back, and removes its entries once the rows are written; if they
    could not be after all, it goes into the trash again.
    """
    returned: list[Entry] = []
    try:
        yield returned
    except BaseException:
        for entry in returned:
            entries.move_in(settings.output_dir, entry)
        raise
    for entry in returned:
        entries.purge(entry)


def _delete(session: Session, settings: Settings, job: Job, *, files: bool) -> list[Entry]:
    """The rows, then the folder; what went to the trash."""
    folder = JobFolder(settings.output_dir, job.training_name)
    if files and folder_lock.is_held(folder.lock):
        raise in_use(job, "moved to the trash")
    known = {
        "job_id": job.id,
        "config": job.config,
        "created_at": job.created_at.isoformat(),
    }
    job_id, name = job.id, job.training_name
    followers = update(Job).where(Job.run_after_job_id == job_id)
    session.execute(followers.values(run_after_job_id=None))
    session.execute(delete(Job).where(Job.id == job_id))
    announce(session, "job_deleted", job_id, {"id": job_id})
    announce_queue(session, except_job=job_id)
    session.flush()
    if not files and os.path.lexists(folder.path):
        return []
    # Of a draft without a folder there is nothing else to keep than the note.
    output = settings.output_dir
    try:
        return [entries.put(output, folder.path, kind="job", training_name=name, known=known)]
    except OSError as error:
        raise Conflict(
            "trash_unusable",
            f"The folder of {name} cannot be moved to the trash: {error}.",
            "Look at the disk and the rights on the output folder, or delete the job and keep its "
            "files.",
            params={"training_name": name, "job_id": job_id},
        ) from error


def job_of(session: Session, entry: Entry) -> Job:
    """The job that a checkpoint or picture in the trash is part of. Raises Conflict without it."""
    name = entry.note.training_name
    job = session.scalar(select(Job).where(Job.training_name == name))
    if job is None:
        raise Conflict(
            "job_is_gone",
            f"The job {name} of this {entry.note.kind} is not there.",
            "Restore the job first.",
            params={"training_name": name},
        )
    return job


def in_use(job: Job, deed: str) -> Conflict:
    """A trainer that no worker started, or one that cannot be seen from here, is at work."""
    name, status = job.training_name, queries.shown_status(job)
    return Conflict(
        "wrong_state",
        f"{name} is {status}, but a trainer is writing to its folder, which cannot be {deed} now.",
        "Wait until it has ended.",
        params={"status": status.value, "job_id": job.id, "training_name": name},
    )
