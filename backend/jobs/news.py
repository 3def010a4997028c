"""Reading the feed for one page: what is new since a number, on the topics it listens to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fastapi.sse import format_sse_event
from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import Session

from backend.db.models import FeedEntry, Job
from backend.errors import Unusable
from backend.jobs.queries import summaries

BATCH = 500
QUEUE_NEWS = ("job", "job_deleted", "queue", "alarm")
SYSTEM_NEWS = ("hooks",)
_TOPIC = re.compile(r"^(queue|system|job:\d{1,18})$")


@dataclass(frozen=True)
class Topics:
    """What a page listens to."""

    queue: bool = False
    system: bool = False
    job_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class News:
    """One event as it is sent; `id` None for what is not in the feed, `job_id` for no job's."""

    name: str
    json: str
    id: int | None = None
    job_id: int | None = None

    @cached_property
    def wire(self) -> bytes:
        """As a server-sent event, the same for every page that hears it."""
        number = None if self.id is None else str(self.id)
        return format_sse_event(event=self.name, data_str=self.json, id=number)


@dataclass(frozen=True)
class Batch:
    """News up to row `cursor`; `more` if there is more already."""

    cursor: int
    more: bool
    news: list[News] = field(default_factory=list)


def parse_topics(names: str) -> Topics:
    """`queue,job:7,system`. Raises Unusable."""
    parts = [part.strip() for part in names.split(",") if part.strip()]
    bad = [part for part in parts if not _TOPIC.match(part)]
    if bad or not parts:
        raise Unusable(
            "bad_topics",
            f"{names!r} names no topics." if not bad else f"{bad[0]!r} is no topic.",
            "Topics are queue, system and job:ID, separated by commas.",
            field="topics",
            params={"topics": names},
        )
    ids = frozenset(int(part.removeprefix("job:")) for part in parts if part.startswith("job:"))
    return Topics(queue="queue" in parts, system="system" in parts, job_ids=ids)


def newest_id(session: Session) -> int:
    """Number of the last row that was ever written."""
    return session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'feed'")) or 0


def is_reachable(session: Session, cursor: int) -> bool:
    """Whether every row after `cursor` is still there."""
    newest = newest_id(session)
    oldest = session.scalar(select(func.min(FeedEntry.id))) or newest + 1
    return oldest - 1 <= cursor <= newest


def read_news(session: Session, topics: Topics, cursor: int) -> Batch:
    """What happened after row `cursor`, oldest first; a job that changed often comes once."""
    newest = newest_id(session)
    wanted = _wanted(topics)
    if newest == cursor or wanted is None:
        return Batch(cursor=newest, more=False)
    query = select(FeedEntry).where(FeedEntry.id > cursor, wanted).order_by(FeedEntry.id)
    rows = list(session.scalars(query.limit(BATCH)))
    more = len(rows) == BATCH
    return Batch(cursor=rows[-1].id if more else newest, more=more, news=_rendered(session, rows))


def read_all_news(session: Session, after: int, up_to: int) -> list[News]:
    """What happened after row `after` up to row `up_to` on every topic, oldest first."""
    query = select(FeedEntry).where(FeedEntry.id > after, FeedEntry.id <= up_to)
    return _rendered(session, list(session.scalars(query.order_by(FeedEntry.id))))


def is_wanted(news: News, topics: Topics) -> bool:
    """Whether a page that listens to the topics hears of it, as `_wanted` asks the database."""
    return (
        (topics.queue and news.name in QUEUE_NEWS)
        or (topics.system and news.name in SYSTEM_NEWS)
        or news.job_id in topics.job_ids
    )


def _wanted(topics: Topics) -> ColumnElement[bool] | None:
    conditions: list[ColumnElement[bool]] = []
    if topics.queue:
        conditions.append(FeedEntry.name.in_(QUEUE_NEWS))
    if topics.system:
        conditions.append(FeedEntry.name.in_(SYSTEM_NEWS))
    if topics.job_ids:
        conditions.append(FeedEntry.job_id.in_(topics.job_ids))
    return or_(*conditions) if conditions else None


def _rendered(session: Session, rows: Sequence[FeedEntry]) -> list[News]:
    last_of_job = {row.job_id: row.id for row in rows if row.name == "job"}
    jobs = session.scalars(select(Job).where(Job.id.in_(last_of_job))).all()
    rendered = {s.id: s.model_dump_json() for s in summaries(session, jobs)}
    news: list[News] = []
    for row in rows:
        if row.data is not None:
            news.append(News(row.name, json.dumps(row.data), row.id, row.job_id))
        elif row.job_id in rendered and last_of_job[row.job_id] == row.id:
            news.append(News(row.name, rendered[row.job_id], row.id, row.job_id))
    return news
