"""News for open pages: rows in `feed`, numbered in the order of their commits.

Writers are serialised by BEGIN IMMEDIATE, so a reader that has seen row n has seen every row below
it: a page resumes from the last number it saw without a gap and without a double. `job` rows hold
no data; who sends them renders the job as it is then. The others hold what they say.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from backend.db.models import FeedEntry, Job, QueuePause
from backend.jobs.status import JobStatus

KEPT_ROWS = 50_000  # hours of a busy machine; an older cursor is told to fetch anew
# Waiting jobs that are told of one by one; of more, that the queue has changed.
ANNOUNCED_POSITIONS = 200


def announce(session: Session, name: str, job_id: int | None, data: dict[str, Any]) -> None:
    """Add one piece of news."""
    session.add(FeedEntry(name=name, job_id=job_id, data=data))


def announce_job(session: Session, job_id: int) -> None:
    """Say that a job changed."""
    session.add(FeedEntry(name="job", job_id=job_id))


def announce_queue(session: Session, *, except_job: int) -> None:
    """Say that the jobs that wait have moved up or down."""
    _announce_waiting(session, Job.id != except_job)


def announce_waiting(session: Session) -> None:
    """Say that the jobs that wait do so for another reason."""
    _announce_waiting(session)


def announce_pauses(session: Session) -> None:
    """Say what is paused, and that why and where jobs wait is to be fetched anew."""
    paused = session.scalars(select(QueuePause.device).order_by(QueuePause.device))
    announce(session, "queue", None, {"paused": list(paused)})


def announce_followers(session: Session, job_id: int) -> None:
    """Say that what waited for the job does so no longer."""
    _announce_waiting(session, Job.run_after_job_id == job_id)


def _announce_waiting(session: Session, *chosen: ColumnElement[bool]) -> None:
    session.flush()
    waiting = (
        select(literal("job"), Job.id)
        .where(Job.status == JobStatus.QUEUED, *chosen)
        .order_by(Job.queue_order)
        .limit(ANNOUNCED_POSITIONS)
    )
    told = session.execute(insert(FeedEntry).from_select(["name", "job_id"], waiting))
    if cast(CursorResult[Any], told).rowcount >= ANNOUNCED_POSITIONS:
        announce_pauses(session)  # pages fetch their lists anew, as far as they show them


def prune_feed(session: Session) -> None:
    """Forget all but the newest rows."""
    newest = session.scalar(select(func.max(FeedEntry.id))) or 0
    session.execute(delete(FeedEntry).where(FeedEntry.id <= newest - KEPT_ROWS))
