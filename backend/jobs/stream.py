"""GET /api/events: server-sent events, one stream for a page.

Every event from the feed carries its row's number as `id`; a browser that lost its connection sends
the last one back as Last-Event-ID and goes on from there. The first event of a stream is `open`
with the number it starts from, so that even a page that heard nothing yet resumes rightly. A number
that the feed has forgotten is answered with `reset`: fetch everything anew. A stream on which
nothing happened says so after a while, in a comment, so that no proxy closes it.

FastAPI's own way, a generator of events, passes each through two queues and a timer of its stream;
here an event is rendered once for all of them, and what happened at once is sent at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT

from backend.db.engine import Database
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses_beside
from backend.jobs.feed_watch import FeedWatch
from backend.jobs.news import News, Topics, is_reachable, newest_id, parse_topics, read_news
from backend.settings import Settings
from backend.system.state import system_state

router = APIRouter(tags=["events"])

SILENCE_SECONDS = 15.0
# Nothing between us and the page may keep events back.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


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
    "/events", response_class=StreamingResponse, responses=error_responses_beside() | _EVENTS
)
async def stream_events(
    request: Request,
    topics: Annotated[Topics, Depends(_topics)],
    database: DatabaseOf,
    settings: SettingsOf,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> StreamingResponse:
    """What changes from now on, or from after Last-Event-ID."""
    watch: FeedWatch = request.app.state.feed_watch
    events = _events(watch, topics, database, settings, last_event_id)
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


async def _events(
    watch: FeedWatch,
    topics: Topics,
    database: Database,
    settings: Settings,
    last_event_id: int | None,
) -> AsyncIterator[bytes]:
    """What is sent, all that is there at once in one piece."""
    with watch.listening():
        cursor, first = await asyncio.to_thread(_begin, database, last_event_id)
        yield first.wire
        seen = (-1, 0)
        while not watch.closed:
            machine: list[News] = []
            before, seen = seen, watch.machine_version
            if topics.system and before[0] != seen[0]:
                machine.append(await asyncio.to_thread(_system, database, settings))
            if topics.system and before[1] != seen[1] and watch.load.newest is not None:
                machine.append(News("load", watch.load.newest.model_dump_json()))
            batch = watch.since(topics, cursor)
            if batch is None:
                batch = await asyncio.to_thread(_read, database, topics, cursor)
            told = b"".join(news.wire for news in [*machine, *batch.news])
            if told:
                yield told
            cursor = batch.cursor
            if batch.more:
                continue
            silent_at = time.monotonic() + SILENCE_SECONDS
            while not await watch.beyond(cursor, seen if topics.system else None, until=silent_at):
                yield KEEPALIVE_COMMENT
                silent_at = time.monotonic() + SILENCE_SECONDS


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
