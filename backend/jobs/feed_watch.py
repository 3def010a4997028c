"""Wakes the streams when the feed has grown.

One task per server asks the database for the newest row's number, ten times a second while somebody
listens; a stream that is woken reads its own topics. So an idle page costs nothing, and two hundred
of them cost one small query a tick. The machine's load is sampled here too, by the same clock,
whether somebody listens or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from sqlalchemy.exc import OperationalError

from backend.db.engine import Database
from backend.jobs.news import newest_id
from backend.system.load import SAMPLE_SECONDS, LoadRing
from backend.system.state import liveliness

TICK_SECONDS = 0.1
TICKS_BETWEEN_LOOKS_AT_THE_WORKER = 10


class FeedWatch:
    """Knows the newest row and whether the worker lives, and tells whoever waits."""

    def __init__(self, database: Database, load: LoadRing) -> None:
        self._database = database
        self.load = load
        self._newest = 0
        self._lively: tuple[bool, tuple[str, ...]] | None = None
        self._listeners = 0
        self._changed = asyncio.Event()
        self.system_version = 0
        self.closed = False

    async def run(self) -> None:
        """Watch until `close`; the server's one background task."""
        self._loop = asyncio.get_running_loop()
        tick = 0
        next_sample = time.monotonic()
        while not self.closed:
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + SAMPLE_SECONDS
                with contextlib.suppress(OperationalError):
                    await asyncio.to_thread(self._sample)
            if self._listeners:
                look_at_worker = tick % TICKS_BETWEEN_LOOKS_AT_THE_WORKER == 0
                # A database that is busy or being migrated is asked again at the next tick.
                with contextlib.suppress(OperationalError):
                    await asyncio.to_thread(self._look, look_at_worker)
                tick += 1
            await asyncio.sleep(TICK_SECONDS)

    def _sample(self) -> None:
        with self._database.read() as session:
            self.load.take(session)
        self._loop.call_soon_threadsafe(self._wake)

    def _look(self, look_at_worker: bool) -> None:
        with self._database.read() as session:
            newest = newest_id(session)
            lively = liveliness(session) if look_at_worker else self._lively
        if lively == self._lively and newest == self._newest:
            return
        if self._lively not in (None, lively):
            self.system_version += 1
        self._lively = lively
        self._newest = newest
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While a stream is open."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    @property
    def machine_version(self) -> tuple[int, int]:
        """Another one whenever worker or devices changed, or a sample of the load was taken."""
        return self.system_version, self.load.version

    async def beyond(self, cursor: int, machine_version: tuple[int, int] | None) -> None:
        """Return once the feed is past `cursor`, the machine changed, or the watch is closed.

        machine_version: what was seen of it; None for whoever does not look at it.
        """
        while (
            not self.closed
            and self._newest <= cursor
            and machine_version in (None, self.machine_version)
        ):
            await self._changed.wait()

    def close(self) -> None:
        """End every stream; called when the server shuts down."""
        self.closed = True
        self._wake()
