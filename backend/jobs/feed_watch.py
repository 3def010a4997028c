"""Wakes the streams when the feed has grown, and has the latest news ready for them.

One task per server glances at the database's own count of commits, a hundred times a second while
somebody listens, and asks for news when it has moved. New rows are read and rendered once, for all
pages, and kept for a while; a stream that is woken takes from them what its topics want. So an idle
page costs nothing, and two hundred of them cost one query and one rendering, not two hundred. A
stream that lags behind what is kept, as after a lost connection, reads the database until it has
caught up. While nobody listens only the number of the newest row is kept, for the answers that say
it (`answer_age.py`). The machine's load is sampled here too, by the same clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator

from sqlalchemy.exc import OperationalError

from backend.db.engine import CommitWatch, Database
from backend.jobs.news import Batch, News, Topics, is_wanted, newest_id, read_all_news
from backend.system.load import SAMPLE_SECONDS, LoadRing
from backend.system.state import liveliness

GLANCE_SECONDS = 0.01  # a glance takes microseconds
IDLE_SECONDS = 0.05  # while nobody listens
SECONDS_BETWEEN_LOOKS_AT_THE_WORKER = 1.0
KEPT_NEWS = 500
WOKEN_AT_ONCE = 10  # to send to one of them takes up to 0.2 ms
# Of a burst, or of what gathered while nobody listened, each stream reads its own part.
LONGEST_READ = 1000


class FeedWatch:
    """Knows the newest row and whether the worker lives, and tells whoever waits."""

    def __init__(self, database: Database, load: LoadRing) -> None:
        self._database = database
        self.load = load
        self.newest = 0  # row that is known; there may be a newer one, never an older
        self._kept: deque[News] = deque()
        self._kept_from = 0
        self._lively: tuple[bool, tuple[str, ...]] | None = None
        self._listeners = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.system_version = 0
        self.closed = False

    async def run(self) -> None:
        """Watch until `close`; the server's one background task."""
        self._loop = asyncio.get_running_loop()
        next_sample = next_look = time.monotonic()
        with contextlib.closing(CommitWatch(self._database)) as commits:
            commits.settle(None)  # what happened before it was asked for is news as well
            while not self.closed:
                if time.monotonic() >= next_sample:
                    next_sample = time.monotonic() + SAMPLE_SECONDS
                    with contextlib.suppress(OperationalError):
                        await asyncio.to_thread(self._sample)
                look_at_worker = time.monotonic() >= next_look
                if commits.has_changed() or (self._listeners and look_at_worker):
                    version = commits.version()
                    # A database that is busy or being migrated is asked again at the next glance.
                    with contextlib.suppress(OperationalError):
                        await asyncio.to_thread(self._look, look_at_worker)
                        commits.settle(version)
                        if look_at_worker:
                            next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS_AT_THE_WORKER
                await asyncio.sleep(GLANCE_SECONDS if self._listeners else IDLE_SECONDS)

    def _sample(self) -> None:
        with self._database.read() as session:
            self.load.take(session)
        self._loop.call_soon_threadsafe(self._wake)

    def _look(self, look_at_worker: bool) -> None:
        with self._database.read() as session:
            newest = newest_id(session)
            lively = liveliness(session) if look_at_worker else self._lively
            if lively == self._lively and newest == self.newest:
                return
            is_read_here = self._listeners > 0 and newest - self.newest <= LONGEST_READ
            fresh = read_all_news(session, self.newest, newest) if is_read_here else None
        if self._lively not in (None, lively):
            self.system_version += 1
        self._lively = lively
        self._loop.call_soon_threadsafe(self._keep, fresh, newest)

    def _keep(self, fresh: list[News] | None, newest: int) -> None:
        """Add what was read; None for what nobody listened to or was too much to read at once,
        which the streams read for themselves."""
        if fresh is None:
            self._kept.clear()
            self._kept_from = newest
        else:
            self._kept.extend(fresh)
        while len(self._kept) > KEPT_NEWS:
            self._kept_from = self._kept.popleft().id or 0
        self.newest = newest
        self._wake()

    def since(self, topics: Topics, cursor: int) -> Batch | None:
        """What happened after row `cursor`; None if that is more than is kept."""
        if cursor < self._kept_from:
            return None
        news: list[News] = []
        for each in reversed(self._kept):
            if (each.id or 0) <= cursor:
                break
            if is_wanted(each, topics):
                news.append(each)
        return Batch(cursor=max(cursor, self.newest), more=False, news=news[::-1])

    def _wake(self) -> None:
        woken, self._waiting = self._waiting, deque()
        self._wake_some(woken)

    def _wake_some(self, woken: deque[asyncio.Future[None]]) -> None:
        """A few streams in each turn of the loop, so that requests are answered between them."""
        for _ in range(min(WOKEN_AT_ONCE, len(woken))):
            waiting = woken.popleft()
            if not waiting.done():  # its stream was closed
                waiting.set_result(None)
        if woken:
            self._loop.call_soon(self._wake_some, woken)

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

    async def beyond(
        self, cursor: int, machine_version: tuple[int, int] | None, *, until: float
    ) -> bool:
        """True once the feed is past `cursor`, the machine changed, or the watch is closed.

        machine_version: what was seen of it; None for whoever does not look at it. until: a
        time.monotonic() after which it is False, at the next sample of the load: no stream needs
        a timer of its own.
        """
        while (
            not self.closed
            and self.newest <= cursor
            and machine_version in (None, self.machine_version)
        ):
            if time.monotonic() >= until:
                return False
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
        return True

    def close(self) -> None:
        """End every stream; called when the server shuts down."""
        self.closed = True
        self._wake()
