"""A page that stays open while everything around it dies: what somebody would see in the morning.

It holds the server's stream of events as the real page does: it asks for the list once the stream
is open, goes on from the last event that it heard after every cut, and asks for everything anew
when it is told to. So at the end it has to show what is in the database, and no event may have
reached it twice.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import httpx

from tests.server_sent_events import events_of

PAUSE_SECONDS = 0.1
SILENCE_SECONDS = 45.0  # as in the page: a stream may die without saying so
LARGEST_PAGE = 500


class OpenPage:
    """Listens at `address` from its beginning to `close`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.jobs: dict[int, str] = {}
        self.num_streams = 0
        self.doubled: list[int] = []
        self._cursor: int | None = None
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()

    def _read(self) -> None:
        with httpx.Client(base_url=self.address, timeout=httpx.Timeout(SILENCE_SECONDS)) as client:
            while not self._closed.is_set():
                # Away, killed in the middle of a word, or too busy: it is tried again.
                with suppress(httpx.HTTPError, ValueError, KeyError):
                    self._listen(client)
                self._closed.wait(PAUSE_SECONDS)

    def _listen(self, client: httpx.Client) -> None:
        headers = {} if self._cursor is None else {"Last-Event-ID": str(self._cursor)}
        with client.stream("GET", "/api/events?topics=queue", headers=headers) as answer:
            answer.raise_for_status()
            self.num_streams += 1
            for number, name, data in events_of(answer):
                if self._closed.is_set():
                    return
                begins = name in ("open", "reset")
                if name == "reset" or (begins and self._cursor is None):
                    self._fetch(client)
                elif name == "job":
                    self.jobs[data["id"]] = data["status"]
                elif name == "job_deleted":
                    self.jobs.pop(data["id"], None)
                if number is not None:
                    if not begins and self._cursor is not None and number <= self._cursor:
                        self.doubled.append(number)
                    self._cursor = number

    def _fetch(self, client: httpx.Client) -> None:
        answer = client.get("/api/jobs", params={"limit": LARGEST_PAGE})
        answer.raise_for_status()
        self.jobs = {job["id"]: job["status"] for job in answer.json()["items"]}
