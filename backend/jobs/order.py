"""The orders that jobs are listed in, and the cursor that goes on within each.

A cursor is the sort key and the id of a page's last job, not a number of jobs to skip: whatever
comes, goes or moves between two pages, no job that stays where it was is left out or shown twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_

from backend.db.models import Job
from backend.errors import Unusable
from backend.jobs.waiting import place, place_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Places may lie below 0: a job that resumes by itself is put before the first.
CURSOR_PATTERN = r"^-?\d{1,18}(-\d{1,18})?$"


class JobOrder(StrEnum):
    """How a list of jobs is sorted."""

    NEWEST = "newest"
    QUEUE = "queue"
    FINISHED = "finished"


def sorted_jobs(query: Select[Any], order: JobOrder, after: str | None) -> Select[Any]:
    """The query in this order, from behind the cursor `after`. Raises Unusable."""
    match order:
        case JobOrder.NEWEST:
            behind = None if after is None else Job.id < _numbers(after, 1)[0]
            by = [Job.id.desc()]
        case JobOrder.QUEUE:
            behind = _behind(after, place(), ascending=True)
            by = [place(), Job.id]
        case JobOrder.FINISHED:
            behind = _behind(after, _end(), ascending=False)
            by = [_end().desc(), Job.id.desc()]
    query = query.order_by(*by)
    return query if behind is None else query.where(behind)


def cursor_behind(job: Job, order: JobOrder) -> str:
    """What goes into `after` for the page that follows this job."""
    match order:
        case JobOrder.NEWEST:
            return str(job.id)
        case JobOrder.QUEUE:
            return f"{place_of(job)}-{job.id}"
        case JobOrder.FINISHED:
            end = job.finished_at or job.updated_at
            return f"{(end - EPOCH) // timedelta(microseconds=1)}-{job.id}"


def _end() -> ColumnElement[datetime]:
    """When a job ended; one that was taken out of the queue has no end but that."""
    return func.coalesce(Job.finished_at, Job.updated_at)


def _behind(
    after: str | None, key: ColumnElement[Any], *, ascending: bool
) -> ColumnElement[bool] | None:
    if after is None:
        return None
    number, job_id = _numbers(after, 2)
    last = number if ascending else _moment(number)
    if ascending:
        return or_(key > last, and_(key == last, Job.id > job_id))
    return or_(key < last, and_(key == last, Job.id < job_id))


def _numbers(after: str, count: int) -> list[int]:
    first, *rest = after.removeprefix("-").split("-")
    numbers = [-int(first) if after.startswith("-") else int(first), *map(int, rest)]
    if len(numbers) != count:
        raise _unknown_cursor()
    return numbers


def _moment(microseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise _unknown_cursor() from None


def _unknown_cursor() -> Unusable:
    return Unusable(
        "bad_cursor",
        "`after` is not from a list in this order.",
        "Give the `next` of the page before, and the same `order`; leave it out to begin.",
        field="after",
    )
