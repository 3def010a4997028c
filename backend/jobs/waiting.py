"""Who starts next: the order of the jobs that wait, what they wait for, and pauses.

A job's place is its priority first, then `queue_order`, which people change by moving jobs. Beside
a free device a job may wait for a moment (`not_before`), for another job to complete
(`run_after_job_id`), and for the queue or its device to go on after a pause. The claim and what
pages show follow from the same expressions here.
"""

from __future__ import annotations

from collections.abc import Container
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from backend.db.columns import now
from backend.db.models import Job, QueuePause
from backend.errors import Conflict, Unusable
from backend.jobs.feed import announce_job, announce_pauses, announce_queue, announce_waiting
from backend.jobs.status import ACTIVE, JobStatus, shown

ALL_DEVICES = "all"
LOWEST_PRIORITY, HIGHEST_PRIORITY = -1, 1
# More than jobs will ever be moved; places stay whole numbers, which cursors need.
_PLACES_OF_A_PRIORITY = 10**12
_LONGEST_CHAIN = 1000


class WaitsFor(StrEnum):
    """Why a queued job has not started; the first of them that holds."""

    JOB = "job"
    TIME = "time"
    PAUSE = "pause"
    LARGER_DEVICE = "larger_device"
    CARD = "card"
    DEVICE = "device"


def place() -> ColumnElement[int]:
    """A job's place among those that wait: the lowest starts first; ties by id."""
    order = func.coalesce(Job.queue_order, 0)
    return (HIGHEST_PRIORITY - Job.priority) * _PLACES_OF_A_PRIORITY + order


def place_of(job: Job) -> int:
    """The same of a row at hand."""
    return (HIGHEST_PRIORITY - job.priority) * _PLACES_OF_A_PRIORITY + (job.queue_order or 0)


def may_start() -> ColumnElement[bool]:
    """Whether neither the clock nor another job holds a queued job back."""
    before = aliased(Job)
    is_completed = exists().where(
        before.id == Job.run_after_job_id, before.status == JobStatus.COMPLETED
    )
    return and_(
        or_(Job.not_before.is_(None), Job.not_before <= now()),
        or_(Job.run_after_job_id.is_(None), is_completed),
    )


def waits_for(
    job: Job, *, after: JobStatus | None, paused: frozenset[str], absent: Container[str]
) -> WaitsFor | None:
    """Why the job waits; None if it is not queued. after: status of the job it runs after.

    absent: what `job.gpu` may say that stands for no device that the worker sees now.
    """
    if job.status != JobStatus.QUEUED:
        return None
    if job.run_after_job_id is not None and after != JobStatus.COMPLETED:
        return WaitsFor.JOB
    if job.not_before is not None and job.not_before > now():
        return WaitsFor.TIME
    if ALL_DEVICES in paused or job.gpu in paused:
        return WaitsFor.PAUSE
    if job.too_small_devices:
        return WaitsFor.LARGER_DEVICE
    if job.gpu in absent:
        return WaitsFor.CARD
    return WaitsFor.DEVICE


def paused_devices(session: Session) -> frozenset[str]:
    """What is paused: devices by id, or ALL_DEVICES."""
    return frozenset(session.scalars(select(QueuePause.device)))


def pause(session: Session, device: str) -> None:
    """Let nothing start on the device, or on any; what runs goes on. Twice is harmless."""
    if session.get(QueuePause, device) is None:
        session.add(QueuePause(device=device))
        _announce_pauses(session)


def resume(session: Session, device: str) -> None:
    """Let jobs start again; of ALL_DEVICES, on each."""
    chosen = delete(QueuePause)
    if device != ALL_DEVICES:
        chosen = chosen.where(QueuePause.device == device)
    session.execute(chosen)
    _announce_pauses(session)


def move_before(session: Session, job: Job, other: Job | None) -> None:
    """Put a waiting job right before another, or at the end; it takes that one's priority.

    Raises Conflict if one of them does not wait any more.
    """
    for each in (job, other):
        if each is not None and each.status != JobStatus.QUEUED:
            status = shown(each.status, each.stop_requested_at)
            raise Conflict(
                "wrong_state",
                f"{each.training_name} is {status} and has no place in the queue.",
                "Look at the queue again; it has changed.",
                params={"status": status.value, "job_id": each.id},
            )
    waiting = session.execute(
        select(Job.id, Job.priority)
        .where(Job.status == JobStatus.QUEUED, Job.id != job.id)
        .order_by(place(), Job.id)
    ).all()
    order = [row.id for row in waiting]
    if other is not None and other.id != job.id:
        order.insert(order.index(other.id), job.id)
        job.priority = other.priority
    else:
        order.append(job.id)
        job.priority = waiting[-1].priority if waiting else job.priority
    session.flush()
    numbered = [{"id": job_id, "queue_order": number} for number, job_id in enumerate(order, 1)]
    session.execute(update(Job), numbered)
    session.expire_all()
    announce_job(session, job.id)
    announce_queue(session, except_job=job.id)


def change_place(session: Session, job: Job, changes: dict[str, Any]) -> None:
    """Set priority, not_before or run_after_job_id. Raises Conflict or Unusable."""
    if job.status in ACTIVE:
        status = shown(job.status, job.stop_requested_at)
        raise Conflict(
            "wrong_state",
            f"{job.training_name} is {status} and waits for nothing.",
            "Set it before the job is queued again.",
            params={"status": status.value, "job_id": job.id},
        )
    if changes.get("run_after_job_id") is not None:
        _refuse_a_circle(session, job, changes["run_after_job_id"])
    for name, value in changes.items():
        setattr(job, name, value)
    job.updated_at = now()
    announce_job(session, job.id)
    announce_queue(session, except_job=job.id)


def _refuse_a_circle(session: Session, job: Job, first_id: int) -> None:
    """A job that waits for itself, over however many others, would wait for ever."""
    next_id: int | None = first_id
    for _ in range(_LONGEST_CHAIN):
        if next_id is None:
            return
        if next_id == job.id:
            break
        other = session.get(Job, next_id)
        if other is None:
            raise Unusable(
                "no_such_job",
                f"There is no job {next_id} to run after.",
                "Choose one of the queue's jobs.",
                field="run_after_job_id",
                params={"job_id": next_id},
            )
        next_id = other.run_after_job_id
    raise Unusable(
        "circle",
        f"{job.training_name} would wait for itself.",
        "Choose a job that does not wait for this one.",
        field="run_after_job_id",
        params={"job_id": first_id},
    )


def _announce_pauses(session: Session) -> None:
    session.flush()
    announce_pauses(session)
    # A job's own page does not listen to the queue.
    announce_waiting(session)
