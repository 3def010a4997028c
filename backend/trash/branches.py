"""Whether something in the trash is of a branch that the job has left since it was deleted.

A run that goes on from step 250 keeps what stands for step 250 and sets aside what was made after
it. What lay in the trash then could not be set aside: back in its place it would be taken for the
newest, and the next run would go on from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import Job, Run


def left_by(session: Session, job: Job, known: Mapping[str, Any]) -> Run | None:
    """The run that would have set the checkpoint or picture aside; None for what is the job's own.

    known: of its note. A run that has not begun yet sets it aside itself.
    """
    return session.scalar(
        select(Run)
        .where(
            Run.job_id == job.id,
            Run.number > known["run"],
            Run.first_step < known["step"],
        )
        .order_by(Run.number)
        .limit(1)
    )
