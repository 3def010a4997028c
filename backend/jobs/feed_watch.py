"""Wakes the streams when the feed has grown.

One task per server asks the database for the newest row's number, ten times a second while somebody
listens; a stream that is woken reads its own topics. So an idle page costs nothing, and two hundred
of them cost one small query a tick.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import OperationalError

from backend.db.engine import Database
from backend.jobs.news import newest_id
from backend.system.state import liveliness

TICK_SECONDS = 0.1
TICKS_BETWEEN_LOOKS_AT_THE_WORKER = 10


class FeedWatch:
    """Knows the newest row and whether the worker lives, and tells whoever waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest = 0
        self._lively: tuple[bool, tuple[str, ...]] | None = None
        self._listeners = 0
        self._changed = asyncio.Event()
        self.system_version = 0
        self.closed = False

    async def run(self) -> None:
        """Watch until `close`; the server's one background task."""
        tick = 0
        while not self.closed:
            if self._listeners:
                look_at_worker = tick % TICKS_BETWEEN_LOOKS_AT_THE_WORKER == 0
                # A database that is busy or being migrated is asked again at the next tick.
                with contextlib.suppress(OperationalError):
                    await asyncio.to_thread(self._look, look_at_worker)
                tick += 1
            await asyncio.sleep(TICK_SECONDS)

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
        self._loop = asyncio.get_running_loop()
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def beyond(self, cursor: int, system_version: int) -> None:
        """Return once the feed is past `cursor`, the system changed, or the watch is closed."""
        while not self.closed and self._newest <= cursor and self.system_version == system_version:
            await self._changed.wait()

    def close(self) -> None:
        """End every stream; called when the server shuts down."""
        self.closed = True
        self._wake()
