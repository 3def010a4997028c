"""The worker's row: made anew if it is lost, and forgotten only of workers that are proved gone."""

from __future__ import annotations

from sqlalchemy import delete, select

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Worker
from backend.jobs.service import create_job
from backend.settings import Settings
from backend.worker import presence
from backend.worker.presence import Presence
from tests.backend.hand_clock import Clock
from tests.backend.installation import job_config
from tests.backend.worker.worker_rows import (
    ANOTHER_BOOT,
    ANOTHER_CONTAINER,
    HOUR,
    claim_as,
    dead_worker_row,
    worker_row,
)


def rows(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Worker.id)))


def beat(database: Database, settings: Settings) -> Presence:
    clock = Clock()
    ours = Presence(database, settings, clock, ask_devices=list)
    ours.sign_on()
    clock.now += presence.BEAT_SECONDS
    ours.beat()
    return ours


def test_a_worker_whose_row_is_missing_signs_on_again(
    database: Database, settings: Settings
) -> None:
    clock = Clock()
    ours = Presence(database, settings, clock, ask_devices=list)
    ours.sign_on()
    with database.write() as session:
        session.execute(delete(Worker))
    clock.now += presence.BEAT_SECONDS
    ours.beat()
    assert rows(database) == {ours.identity.worker_id}
    with database.write() as session:
        session.execute(delete(Worker))
    ours.sign_off()


def test_rows_are_forgotten_of_workers_that_are_proved_gone_whatever_the_clock_says(
    database: Database, settings: Settings
) -> None:
    long_ago = now() - 100 * HOUR
    with database.write() as session:
        session.add(worker_row("lives", beat=long_ago))
        session.add(worker_row("elsewhere", machine=ANOTHER_CONTAINER, beat=long_ago))
        session.add(dead_worker_row("dead", beat=now() + HOUR))
        session.add(worker_row("of an earlier boot", machine=ANOTHER_BOOT, beat=now() + HOUR))
        signed_off = worker_row("signed off", machine=ANOTHER_CONTAINER)
        signed_off.ended_at = now()
        session.add(signed_off)
    ours = beat(database, settings)
    assert rows(database) == {"lives", "elsewhere", ours.identity.worker_id}


def test_a_worker_whose_run_nobody_took_over_yet_is_not_forgotten(
    database: Database, settings: Settings
) -> None:
    create_job(database, settings, job_config(), queue=True)
    claim_as(database, settings, dead_worker_row("dead"))
    beat(database, settings)
    assert "dead" in rows(database)
