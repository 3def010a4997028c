"""A request to end that the handler of a signal may make.

A handler runs in the main thread, in the middle of whatever that was doing. `threading.Event` has a
lock that its `wait` holds for moments, and a `set` from a handler that strikes in such a moment
waits for it for ever: a worker told to end would hang. `queue.SimpleQueue` is made to be put into
from there.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue


class Ending:
    """Set once, from any thread and from handlers of signals; never cleared."""

    def __init__(self) -> None:
        self._is_set = False
        self._requests: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Ask for the end."""
        self._is_set = True
        self._requests.put(None)

    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait for the request, at most so long; whether there was one."""
        if not self._is_set:
            with contextlib.suppress(Empty):
                self._requests.get(timeout=seconds)
        return self._is_set
