"""A picture into the trash, and back; also while its job runs, since no trainer reads its pictures.

A resume from the very step of a picture that was deleted draws it anew: it is missing then. Stars
and notes stay in pins.json under the file's name, so they are there again when it comes back.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.artifacts.marks import read_marks
from backend.artifacts.queries import find_sample, sample_entry
from backend.db.engine import Database
from backend.db.models import Job, Run, Sample
from backend.errors import Conflict
from backend.jobs import queries
from backend.jobs.feed import announce, announce_job
from backend.jobs.work import DRAWING
from backend.settings import Settings
from backend.trash import entries
from backend.trash.branches import left_by
from backend.trash.deletion import job_of, moving, returning
from backend.trash.entries import Entry
from backend.trash.schemas import Restored
from trainer.job_folder import JobFolder

_OF_THE_DATABASE = frozenset({"id", "job_id", "run_id"})


def delete_picture(database: Database, settings: Settings, job_id: int, sample_id: int) -> Entry:
    """Move one picture of a training to the trash. Raises NotFound or Conflict."""
    with moving(settings) as moved, database.write() as session:
        job = queries.find_job(session, job_id)
        row = find_sample(session, job_id, sample_id)
        _refuse_a_drawings(job)
        known = _columns(session, row)
        session.delete(row)
        announce(session, "sample_removed", job_id, {"job_id": job_id, "id": sample_id})
        announce_job(session, job_id)
        session.flush()
        entry = entries.put(
            settings.output_dir,
            JobFolder(settings.output_dir, job.training_name).path / known["path"],
            kind="picture",
            training_name=job.training_name,
            known=known,
        )
        moved.append(entry)
    return entry


def restore_picture(database: Database, settings: Settings, entry: Entry) -> Restored:
    """Take a picture back to where it was, or to where a resume would have set it aside since.
    Raises Conflict with what stands in its way.
    """
    with returning(settings) as returned, database.write() as session:
        job = job_of(session, entry)
        entry = _set_aside_meanwhile(session, job, entry)
        name, known = entry.note.training_name, entry.note.known
        if os.path.lexists(settings.output_dir / entry.note.path):
            raise Conflict(
                "picture_exists",
                f"{name} has another {Path(entry.note.path).name} now: it was drawn anew.",
                "Delete that one first.",
                params={"training_name": name, "step": known["step"]},
            )
        add_picture(session, settings, job, known)
        entries.move_back(settings.output_dir, entry)
        returned.append(entry)
        return Restored(job_id=job.id)


def add_picture(session: Session, settings: Settings, job: Job, known: dict[str, Any]) -> None:
    """The row of a picture that comes back."""
    row = _row(session, job, known)
    session.add(row)
    session.flush()
    marks = read_marks(JobFolder(settings.output_dir, job.training_name))
    said = sample_entry(row, marks).model_dump(mode="json")
    announce(session, "sample", job.id, {"job_id": job.id, **said})
    announce_job(session, job.id)


def _set_aside_meanwhile(session: Session, job: Job, entry: Entry) -> Entry:
    """The entry, of a picture whose branch was left meanwhile with the place that it has now."""
    known = entry.note.known
    run = None if known["superseded_by"] is not None else left_by(session, job, known)
    if run is None:
        return entry
    folder = JobFolder(Path(), job.training_name)
    path = folder.superseded / f"{run.number:04d}" / known["path"]
    known = known | {"path": folder.relative(path), "superseded_by": run.number}
    return entries.redirect(entry, path=path.as_posix(), known=known)


def _refuse_a_drawings(job: Job) -> None:
    if job.kind != DRAWING:
        return
    raise Conflict(
        "picture_of_drawing",
        f"{job.training_name} is a drawing, whose pictures belong together.",
        "Delete the whole drawing.",
        params={"job_id": job.id, "training_name": job.training_name},
    )


def _columns(session: Session, row: Sample) -> dict[str, Any]:
    """The row as JSON, its run by number."""
    names = [column.key for column in Sample.__table__.columns]
    known = {name: getattr(row, name) for name in names if name not in _OF_THE_DATABASE}
    run = session.get_one(Run, row.run_id).number
    return known | {"created_at": row.created_at.isoformat(), "run": run}


def _row(session: Session, job: Job, known: dict[str, Any]) -> Sample:
    runs = select(Run.id).where(Run.job_id == job.id)
    run_id = session.scalar(runs.where(Run.number == known["run"]))
    run_id = run_id or session.scalar(runs.order_by(Run.number.desc()).limit(1))
    # A row without its file, as a rescan of an older folder would leave it.
    same = (Sample.job_id == job.id, Sample.path == known["path"])
    session.execute(delete(Sample).where(*same))
    facts = {key: value for key, value in known.items() if key != "run"}
    facts["created_at"] = datetime.fromisoformat(known["created_at"])
    return Sample(job_id=job.id, run_id=run_id, **facts)
