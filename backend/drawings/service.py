"""Making a drawing: judged at the door, named, and queued in one short session.

What is done with it afterwards (stopping, deleting, queueing it again) is done with it as a job.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Job
from backend.db.values import is_storable
from backend.drawings.forecast import forecasts
from backend.drawings.kept_loras import kept_loras
from backend.drawings.queries import read_drawing
from backend.drawings.schemas import Drawing, DrawingVerdict
from backend.errors import Unusable
from backend.jobs.examine import admit, examine_drawing_config, problem_entries
from backend.jobs.service import enqueue
from backend.jobs.work import DRAWING
from backend.settings import Settings
from backend.trash.entries import entries
from trainer.drawing_config import DrawingConfig

# Stands in its place until the drawing has passed the door and gets its own.
_ANY_NAME = "drawing"
_NUMBERED = re.compile(r"^drawing-(\d{1,9})$", re.IGNORECASE)


def examine(config: dict[str, Any], database: Database, settings: Settings) -> DrawingVerdict:
    """What queueing this drawing would say. Raises Unusable for what no answer could hold."""
    found = examine_drawing_config(_with_any_name(config), database, settings)
    return DrawingVerdict(
        valid=not found.errors,
        errors=problem_entries(found.errors),
        warnings=problem_entries(found.warnings),
        forecasts=[]
        if found.drawing is None
        else forecasts(found.drawing, found.loras, database, settings),
    )


def create_drawing(
    database: Database, settings: Settings, config: dict[str, Any], *, priority: int
) -> Drawing:
    """A drawing that waits for a device, its LoRA files kept for it. Raises Unusable or Conflict,
    and then nothing is created.
    """
    given = _with_any_name(config)
    admitted = admit(given, database, settings, kind=DRAWING, is_new=True)
    assert isinstance(admitted.work, DrawingConfig)
    with kept_loras(admitted.work, settings) as move_to, database.write() as session:
        name = _free_name(session, settings)
        named = admitted.work.model_copy(update={"name": name})
        job = Job(training_name=name, kind=DRAWING, config={}, priority=priority)
        session.add(job)
        session.flush()
        enqueue(session, job, replace(admitted, work=named), reason="a drawing was asked for")
        session.flush()
        session.refresh(job)
        move_to(name)
        return read_drawing(session, settings, job.id)


def _with_any_name(config: dict[str, Any]) -> dict[str, Any]:
    if not is_storable(config):
        raise Unusable(
            "bad_config",
            "The config holds a number that is not finite, text that is no UTF-8, or "
            "is nested too deep.",
            "Correct it; an answer cannot hold any of these.",
        )
    if "name" in config:
        raise Unusable(
            "drawing_is_numbered",
            f"The drawing has the name {str(config['name'])[:64]!r}, and drawings are numbered.",
            "Leave `name` out.",
            field="name",
        )
    return {**config, "name": _ANY_NAME}


def _free_name(session: Session, settings: Settings) -> str:
    """One past the highest number of any drawing that is there, or could come back."""
    names = list(
        session.scalars(select(Job.training_name).where(Job.training_name.like("drawing-%")))
    )
    if settings.output_dir.is_dir():
        names += os.listdir(settings.output_dir)
        names += [entry.note.training_name for entry in entries(settings.output_dir)]
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.match(name))]
    return f"drawing-{max(numbers, default=0) + 1:04d}"
