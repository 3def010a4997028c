"""Which worker counts for the page and the door, after the clock was turned."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Worker
from backend.system import state
from backend.system.state import known_devices, liveliness, worker_state
from backend.system.workers import Heartbeats
from tests.backend.hand_clock import Clock
from tests.backend.worker.worker_rows import (
    ANOTHER_BOOT,
    ANOTHER_CONTAINER,
    HOUR,
    dead_worker_row,
    worker_row,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the server counts silence."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    monkeypatch.setattr(state, "_heartbeats_of", lambda _url: heartbeats)
    return clock


def sign_on(database: Database, *rows: Worker) -> None:
    for row in rows:
        with database.write() as session:
            session.add(row)


def seen(database: Database) -> tuple[bool, tuple[str, ...]]:
    with database.read() as session:
        assert known_devices(session) == liveliness(session)[1]
        assert worker_state(session).alive == liveliness(session)[0]
        return liveliness(session)


def test_after_the_clock_went_back_the_dead_worker_is_not_called_alive(database: Database) -> None:
    sign_on(database, dead_worker_row("w", beat=now() + HOUR))
    assert seen(database)[0] is False


def test_a_worker_that_restarted_after_the_clock_went_back_is_the_one_that_counts(
    database: Database,
) -> None:
    before = dead_worker_row("before", beat=now() + HOUR)
    before.devices = [{"id": "GPU-gone", "name": "", "memory_total_bytes": 1}]
    sign_on(database, before, worker_row("after", beat=now(), devices=("GPU-here",)))
    assert seen(database) == (True, ("GPU-here",))


def test_before_the_new_worker_signs_on_a_reboot_has_ended_the_old_one(
    database: Database,
) -> None:
    sign_on(database, worker_row("w", machine=ANOTHER_BOOT, beat=now(), devices=("GPU-1",)))
    assert seen(database) == (False, ("GPU-1",)), "the door goes by the devices that were"


@pytest.mark.parametrize("turned", [-HOUR, HOUR])
def test_a_worker_whose_process_lives_is_alive_though_the_clock_was_turned(
    database: Database, clock: Clock, turned: timedelta
) -> None:
    sign_on(database, worker_row("w", beat=now() + turned))
    assert seen(database)[0] is True


def test_a_frozen_worker_is_away_after_eight_seconds_of_silence_and_back_with_its_next_beat(
    database: Database, clock: Clock
) -> None:
    sign_on(database, worker_row("w"))
    for second in range(8):
        clock.now = second
        assert seen(database)[0] is True
    clock.now = 8
    assert seen(database)[0] is False
    with database.write() as session:
        session.get_one(Worker, "w").last_seen_at = now() - HOUR
    assert seen(database)[0] is True


def test_of_another_container_it_is_the_change_of_the_heartbeat_that_counts(
    database: Database, clock: Clock
) -> None:
    sign_on(database, worker_row("w", machine=ANOTHER_CONTAINER, beat=now() + HOUR))
    assert seen(database)[0] is False, "never seen to beat, and its last moment is not of now"
    with database.write() as session:
        session.get_one(Worker, "w").last_seen_at = now() + 2 * HOUR
    assert seen(database)[0] is True
    for second in range(1, 9):
        clock.now = second
        alive = seen(database)[0]
    assert alive is False


def test_of_two_that_live_the_one_that_signed_on_last_counts(database: Database) -> None:
    sign_on(
        database,
        worker_row("first", beat=now() + HOUR, devices=("GPU-1",)),
        worker_row("second", devices=("GPU-2",)),
    )
    assert seen(database) == (True, ("GPU-2",))
    sign_on(database, dead_worker_row("third", beat=now() + 2 * HOUR))
    assert seen(database) == (True, ("GPU-2",)), "the third is dead"
