"""Streams are woken a few at a time: two hundred of them leave room for the answers between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from backend.db.engine import Database
from backend.jobs.feed_watch import WOKEN_AT_ONCE, FeedWatch
from backend.system.load import LoadRing

T = TypeVar("T")

NUM_STREAMS = 10 * WOKEN_AT_ONCE


def played(play: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On a loop of its own: this thread may have one, since a browser's tests came before."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(play())).result()


def test_a_request_has_its_turn_before_all_streams_were_told(database: Database, tmp_path: Path):
    async def play() -> tuple[int, int]:
        watch = FeedWatch(database, LoadRing(tmp_path))
        running = asyncio.create_task(watch.run())
        told: list[int] = []

        async def listen(number: int) -> None:
            assert await watch.beyond(watch.newest, None, until=time.monotonic() + 60)
            told.append(number)

        async def ask() -> int:
            for _ in range(3):  # a request is read, begun and answered in turns of its own
                await asyncio.sleep(0)
            return len(told)

        streams = [asyncio.create_task(listen(number)) for number in range(NUM_STREAMS)]
        await asyncio.sleep(0.05)
        watch.close()
        told_before_the_answer = await ask()
        await asyncio.wait_for(asyncio.gather(*streams), 10)
        await running
        return told_before_the_answer, len(told)

    before, after = played(play)
    assert before <= 4 * WOKEN_AT_ONCE
    assert after == NUM_STREAMS


def test_a_stream_that_was_closed_keeps_nobody_waiting(database: Database, tmp_path: Path):
    async def play() -> list[bool]:
        watch = FeedWatch(database, LoadRing(tmp_path))
        running = asyncio.create_task(watch.run())
        streams = [
            asyncio.create_task(watch.beyond(watch.newest, None, until=time.monotonic() + 60))
            for _ in range(3)
        ]
        await asyncio.sleep(0.05)
        streams[0].cancel()
        await asyncio.sleep(0.05)
        watch.close()
        told = await asyncio.wait_for(asyncio.gather(*streams[1:]), 10)
        await running
        return told

    assert played(play) == [True, True]
