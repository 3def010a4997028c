"""What a resume from an earlier step set aside: pictures stay in the gallery, checkpoints do not.

The trainer moved the files to `superseded/<run>/` before it said so. A picture's row follows its
file. One that a run sets aside for the second time stands beside the first under a number, in the
order in which it happened, so the first name that no row has yet is the one.

While a job is told over again from its files, the place that a picture left may be filled by its
successor. Whether a picture of the steps that stay was set aside then follows from the recipe of
the file that lies there.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import Checkpoint, Job, Sample
from backend.jobs.feed import announce
from trainer import events
from trainer.job_folder import RECIPE_CHUNK, JobFolder


def set_aside(
    session: Session, job: Job, folder: JobFolder, event: events.Superseded, *, run_number: int
) -> None:
    """Bring the rows of a job to what the event says."""
    for row in session.scalars(select(Checkpoint).where(Checkpoint.job_id == job.id)):
        if row.step > event.after_step or not (folder.path / row.path).is_file():
            session.delete(row)
    samples = select(Sample).where(Sample.job_id == job.id)
    taken = set(session.scalars(samples.with_only_columns(Sample.path)))
    for row in session.scalars(samples.where(Sample.superseded_by.is_(None))).all():
        is_gone = row.step > event.after_step or not (folder.path / row.path).is_file()
        place = _place_aside(folder, event.path, row, taken, must_be_its_own=not is_gone)
        if place is not None:
            row.path, row.superseded_by = place, run_number
            taken.add(place)
        elif is_gone:
            session.delete(row)


def forget_what_is_gone(session: Session, job: Job, folder: JobFolder, *, after_step: int) -> None:
    """Drop checkpoints after a run's beginning whose files were gone before it: it sets none aside,
    and nobody is to wait for their return any more.
    """
    later = (Checkpoint.step > after_step, Checkpoint.is_final.is_(False))
    for row in session.scalars(select(Checkpoint).where(Checkpoint.job_id == job.id, *later)):
        if not (folder.path / row.path).is_file():
            session.delete(row)
            announce(session, "checkpoint_removed", job.id, {"job_id": job.id, "step": row.step})


def _place_aside(
    folder: JobFolder, aside: str, row: Sample, taken: set[str], *, must_be_its_own: bool
) -> str | None:
    """Where the row's file lies now; None if it is not there."""
    first = Path(aside) / row.path
    number = 1
    while (folder.path / (place := _beside(first, number))).is_file():
        if place.as_posix() not in taken:
            is_its_own = not must_be_its_own or _prompt_of(folder.path / place) == row.prompt
            return place.as_posix() if is_its_own else None
        number += 1
    return None


def _beside(first: Path, number: int) -> Path:
    return first if number == 1 else first.with_stem(f"{first.stem}-{number}")


def _prompt_of(file: Path) -> str | None:
    try:
        with Image.open(file) as picture:
            return json.loads(picture.info.get(RECIPE_CHUNK) or "{}").get("prompt")
    except (OSError, ValueError, SyntaxError, AttributeError):
        return None
