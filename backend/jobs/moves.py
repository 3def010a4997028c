"""The one function that moves a job through its states.

A move is a compare-and-set on the status column: of two programs that want to move a job, one does
and the other is told that it came late. Each move leaves a row in `job_moves` with its reason, and
rows in `feed` so that open pages hear of it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.models import Job, JobMove
from backend.jobs.feed import announce_followers, announce_job, announce_queue
from backend.jobs.status import LEGAL_MOVES, JobStatus


def move(
    session: Session,
    job_id: int,
    *,
    from_status: JobStatus,
    to_status: JobStatus,
    reason: str,
    **values: Any,
) -> bool:
    """Move the job and set `values` with it, if it still is in `from_status`.

    Returns whether it was; otherwise nothing is written. An illegal move is our own mistake.
    """
    chosen = Job.id == job_id
    moved = move_one(
        session, chosen, from_status=from_status, to_status=to_status, reason=reason, **values
    )
    return moved is not None


def move_one(
    session: Session,
    chosen: ColumnElement[bool],
    *,
    from_status: JobStatus,
    to_status: JobStatus,
    reason: str,
    **values: Any,
) -> int | None:
    """The same for the one job that `chosen` picks at the moment of the move; its id."""
    assert to_status in LEGAL_MOVES[from_status], f"{from_status} does not lead to {to_status}"
    moved = session.execute(
        update(Job)
        .where(chosen, Job.status == from_status)
        .values(status=to_status, updated_at=now(), **values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if moved is None:
        return None
    session.expire_all()
    session.add(JobMove(job_id=moved, from_status=from_status, to_status=to_status, reason=reason))
    announce_job(session, moved)
    if JobStatus.QUEUED in (from_status, to_status):
        announce_queue(session, except_job=moved)
    if to_status == JobStatus.COMPLETED:
        announce_followers(session, moved)
    return moved
