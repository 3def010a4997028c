"""Whose runs are taken over, and when: by proof or by our own monotonic clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Run, Worker
from backend.jobs.service import create_job
from backend.launchers.local import LocalLauncher
from backend.launchers.processes import machine_id
from backend.settings import Settings, host_name
from backend.system.workers import Heartbeats
from backend.worker.claim import Claim, Identity
from backend.worker.fence import RunLost
from backend.worker.launch import launch
from backend.worker.recovery import FolderLocks, take_over
from backend.worker.watch import UNREADABLE_SECONDS
from tests.backend.installation import job_config
from tests.backend.worker.worker_rows import (
    ANOTHER_BOOT,
    ANOTHER_CONTAINER,
    HOUR,
    claim_as,
    dead_worker_row,
    worker_row,
)


class Looker:
    """A worker that looks at the others every second of a clock of its own."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._seconds = 0.0
        self._watched: set[int] = set()
        self._heartbeats = Heartbeats(lambda: self._seconds)
        self._locks = FolderLocks(lambda: self._seconds)

    def takes(self, *, after_seconds: float = 0.0) -> bool:
        """Whether it takes a run over at once, or after looking for so long."""
        end = self._seconds + after_seconds
        while not self._look():
            if self._seconds >= end:
                return False
            self._seconds += 1.0
        return self._seconds == end

    def sleep(self, seconds: float) -> None:
        """It is frozen, and does not look."""
        self._seconds += seconds

    def _look(self) -> bool:
        who = Identity("ours", host_name(), machine_id())
        taken = take_over(
            self._database,
            LocalLauncher(),
            self._settings,
            who,
            self._heartbeats,
            self._locks,
            except_runs=self._watched,
        )
        self._watched |= {watched.run_id for watched, _ in taken}
        return bool(taken)


@pytest.fixture
def looker(database: Database, settings: Settings) -> Looker:
    return Looker(database, settings)


def claim(database: Database, settings: Settings, row: Worker) -> Claim:
    create_job(database, settings, job_config(), queue=True)
    return claim_as(database, settings, row)


def beat(database: Database, worker_id: str) -> None:
    with database.write() as session:
        session.get_one(Worker, worker_id).last_seen_at = now() - HOUR


@pytest.mark.parametrize("turned", [-HOUR, HOUR, 24 * HOUR])
def test_a_worker_of_an_earlier_boot_is_gone_at_once_whatever_the_clock_says(
    database: Database, settings: Settings, looker: Looker, turned: timedelta
) -> None:
    claim(database, settings, worker_row("w", machine=ANOTHER_BOOT, beat=now() + turned))
    assert looker.takes()


def test_a_worker_of_this_boot_whose_process_is_gone_is_gone_at_once(
    database: Database, settings: Settings, looker: Looker
) -> None:
    claim(database, settings, dead_worker_row("w", beat=now() + HOUR))
    assert looker.takes()


@pytest.mark.parametrize(
    ("machine", "host"),
    [(ANOTHER_CONTAINER, "this-host"), (ANOTHER_BOOT, "another-host")],
    ids=["another container", "another machine"],
)
@pytest.mark.parametrize("turned", [-HOUR, HOUR])
def test_who_cannot_be_looked_at_is_gone_after_eight_seconds_of_silence_by_our_clock(
    database: Database,
    settings: Settings,
    looker: Looker,
    machine: str,
    host: str,
    turned: timedelta,
) -> None:
    claim(database, settings, worker_row("w", machine=machine, host=host, beat=now() + turned))
    assert not looker.takes(after_seconds=7)
    beat(database, "w")
    assert not looker.takes(after_seconds=7), "another moment of its clock, an earlier one even"
    assert looker.takes(after_seconds=1)


def test_while_we_were_frozen_nobody_was_silent(
    database: Database, settings: Settings, looker: Looker
) -> None:
    claim(database, settings, worker_row("w", machine=ANOTHER_CONTAINER))
    assert not looker.takes()
    looker.sleep(3600)
    assert not looker.takes()
    assert looker.takes(after_seconds=3)


def test_a_worker_that_lives_and_says_nothing_for_a_minute_loses_its_runs(
    database: Database, settings: Settings, looker: Looker
) -> None:
    claimed = claim(database, settings, worker_row("frozen", beat=now() - HOUR))
    assert not looker.takes(after_seconds=59)
    assert looker.takes(after_seconds=1)
    with database.read() as session:
        assert session.get_one(Run, claimed.run_id).worker_id == "ours"
    # It goes on, between its claim and the start of the trainer.
    with pytest.raises(RunLost):
        launch(database, LocalLauncher(), settings, claimed, worker_id="frozen")


def test_a_missing_row_proves_nothing_at_once(
    database: Database, settings: Settings, looker: Looker
) -> None:
    claim(database, settings, worker_row("w"))
    with database.write() as session:
        session.execute(delete(Worker))
    assert not looker.takes(after_seconds=7)
    assert looker.takes(after_seconds=1)


def test_a_run_that_is_over_meanwhile_is_not_taken(
    database: Database, settings: Settings, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.worker import recovery

    claimed = claim(database, settings, dead_worker_row("w"))
    seen = recovery._orphans

    def seen_a_moment_ago(*arguments: object) -> object:
        found = seen(*arguments)  # pyright: ignore[reportArgumentType]
        with database.write() as session:
            session.get_one(Run, claimed.run_id).status = "completed"
        return found

    monkeypatch.setattr(recovery, "_orphans", seen_a_moment_ago)
    assert not looker.takes()


def test_a_folder_that_cannot_be_read_holds_back_its_own_run_alone_and_for_a_minute(
    database: Database, settings: Settings, looker: Looker, caplog: pytest.LogCaptureFixture
) -> None:
    """Its trainer may live in a container that still sees the disk."""
    lost = claim(database, settings, worker_row("w", machine=ANOTHER_BOOT))
    create_job(database, settings, job_config("other"), queue=True)
    claim_as(database, settings, worker_row("v", machine=f"x{ANOTHER_BOOT}"))
    settings.output_dir.mkdir(exist_ok=True)
    (settings.output_dir / "style").write_text("where a folder was")
    assert looker.takes(), "the other run's folder can be read"
    assert not looker.takes(after_seconds=UNREADABLE_SECONDS - 1)
    assert sum("cannot be taken over" in line for line in caplog.messages) == 1
    assert looker.takes(after_seconds=1)
    with database.read() as session:
        assert session.get_one(Run, lost.run_id).worker_id == "ours"
