"""GET /api/events: server-sent events, one stream for a page.

Every event from the feed carries its row's number as `id`; a browser that lost its connection sends
the last one back as Last-Event-ID and goes on from there. The first event of a stream is `open`
with the number it starts from, so that even a page that heard nothing yet resumes rightly. A number
that the feed has forgotten is answered with `reset`: fetch everything anew. The comment that keeps
proxies from closing an idle stream comes from FastAPI, every 15 seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from backend.db.engine import Database
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses_beside
from backend.jobs.feed_watch import FeedWatch
from backend.jobs.news import News, Topics, is_reachable, newest_id, parse_topics, read_news
from backend.settings import Settings
from backend.system.state import system_state

router = APIRouter(tags=["events"])


def _topics(
    topics: Annotated[
        str, Query(description="queue, system, job:ID; separated by commas.", examples=["queue"])
    ] = "queue",
) -> Topics:
    return parse_topics(topics)


_EVENTS = {
    200: {
        "description": "open, job, job_deleted, steps, sample, sample_failed, sample_removed, "
        "preview, checkpoint, checkpoint_removed, superseded, measurement, command, alarm, log, "
        "queue, hooks, system, load, reset",
        "content": {
            "text/event-stream": {
                "example": 'event: job\ndata: {"id": 1, "status": "running"}\nid: 815\n\n'
            }
        },
    }
}


@router.get(
    "/events", response_class=EventSourceResponse, responses=error_responses_beside() | _EVENTS
)
async def stream_events(
    request: Request,
    topics: Annotated[Topics, Depends(_topics)],
    database: DatabaseOf,
    settings: SettingsOf,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What changes from now on, or from after Last-Event-ID."""
    watch: FeedWatch = request.app.state.feed_watch
    with watch.listening():
        cursor, first = await asyncio.to_thread(_begin, database, last_event_id)
        yield _sent(first)
        seen = (-1, 0)
        while not watch.closed:
            before, seen = seen, watch.machine_version
            if topics.system and before[0] != seen[0]:
                yield _sent(await asyncio.to_thread(_system, database, settings))
            if topics.system and before[1] != seen[1] and watch.load.newest is not None:
                yield _sent(News("load", watch.load.newest.model_dump_json()))
            batch = watch.since(topics, cursor)
            if batch is None:
                batch = await asyncio.to_thread(_read, database, topics, cursor)
            for news in batch.news:
                yield _sent(news)
            cursor = batch.cursor
            if not batch.more:
                await watch.beyond(cursor, seen if topics.system else None)


def _begin(database: Database, last_event_id: int | None) -> tuple[int, News]:
    with database.read() as session:
        newest = newest_id(session)
        if last_event_id is None:
            return newest, News("open", "{}", newest)
        if is_reachable(session, last_event_id):
            return last_event_id, News("open", "{}", last_event_id)
        return newest, News("reset", "{}", newest)


def _read(database: Database, topics: Topics, cursor: int):
    with database.read() as session:
        return read_news(session, topics, cursor)


def _system(database: Database, settings: Settings) -> News:
    with database.read() as session:
        return News("system", system_state(session, settings).model_dump_json())


def _sent(news: News) -> ServerSentEvent:
    number = None if news.id is None else str(news.id)
    return ServerSentEvent(event=news.name, raw_data=news.json, id=number)
