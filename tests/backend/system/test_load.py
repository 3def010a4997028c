"""The last minutes of the machine: kept whether somebody looks or not, bounded, and streamed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from math import inf
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Worker
from backend.jobs.feed_watch import FeedWatch
from backend.system import load
from backend.system.load import LoadRing

CARD = {
    "id": "GPU-1",
    "name": "A card",
    "memory_total_bytes": 100,
    "memory_used_bytes": 98,
    "utilization_percent": 97.0,
    "temperature_celsius": None,
    "power_watts": 349.5,
}


def see_worker(database: Database, *, ago: timedelta = timedelta(0)) -> None:
    with database.write() as session:
        session.merge(
            Worker(
                id="w",
                host="h",
                process_id=1,
                process_start_ticks=1,
                machine="m",
                devices=[CARD],
                last_seen_at=now() - ago,
            )
        )


def take(ring: LoadRing, database: Database) -> None:
    with database.read() as session:
        ring.take(session)


def test_a_sample_holds_what_the_worker_saw_and_the_host(
    database: Database, tmp_path: Path
) -> None:
    ring = LoadRing(tmp_path)
    assert ring.newest is None
    see_worker(database)
    take(ring, database)
    assert ring.newest is not None
    (card,) = ring.newest.devices
    assert (card.id, card.memory_used_bytes, card.utilization_percent) == ("GPU-1", 98, 97)
    assert (card.temperature_celsius, card.power_watts) == (None, 349.5)
    assert ring.newest.memory_used_bytes > 0
    assert (ring.newest.disk_free_bytes or 0) > 0


def test_figures_of_a_worker_that_is_away_are_not_repeated(
    database: Database, tmp_path: Path
) -> None:
    ring = LoadRing(tmp_path)
    see_worker(database, ago=timedelta(minutes=1))
    take(ring, database)
    assert ring.newest is not None
    assert ring.newest.devices == []


def test_the_ring_keeps_the_newest(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "KEPT_SAMPLES", 3)
    ring = LoadRing(tmp_path)
    for _ in range(5):
        take(ring, database)
    history = ring.history()
    assert len(history.items) == 3
    assert history.items[-1] == ring.newest
    assert ring.version == 5


def test_the_server_samples_without_a_listener_and_gives_the_history(
    client: TestClient, database: Database
) -> None:
    see_worker(database)

    async def until_sampled(watch: FeedWatch) -> None:
        while watch.load.version == 0:
            await watch.beyond(10**9, watch.machine_version, until=inf)

    watch: FeedWatch = client.app.state.feed_watch  # pyright: ignore[reportAttributeAccessIssue]
    assert client.portal is not None
    client.portal.call(asyncio.wait_for, until_sampled(watch), 20)
    history = client.get("/api/system/load").json()
    assert history["interval_seconds"] == load.SAMPLE_SECONDS
    assert history["items"], "one sample at the least"
    assert set(history["items"][0]) == {"at", "devices", "memory_used_bytes", "disk_free_bytes"}
