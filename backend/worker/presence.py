"""The worker's row: that it lives, and what it can train on."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import OPEN_RUNS, Run, Worker
from backend.jobs.feed import prune_feed
from backend.launchers.processes import machine_id, start_ticks
from backend.settings import Settings, host_name
from backend.system.cards import has_trained_on_a_card
from backend.system.devices import CPU, list_devices
from backend.system.schemas import DeviceEntry
from backend.system.workers import is_proved_gone
from backend.trash.entries import purge_expired
from backend.worker.claim import Identity

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
TIDY_SECONDS = 600.0


class Presence:
    """Signs the worker on, beats, and signs it off."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], float],
        ask_devices: Callable[[], list[DeviceEntry]] = list_devices,
    ) -> None:
        """ask_devices: what this machine can train on at the moment, the CPU included."""
        self._database = database
        self._ask_devices = ask_devices
        self._settings = settings
        self._clock = clock
        self._next_beat = self._next_tidying = 0.0
        self.identity = Identity(str(uuid.uuid4()), host_name(), machine_id())
        self.device_ids: list[str] = []
        # Whether `any` means a GPU here. Once a card was seen, or trained on by a worker before, it
        # does, though the driver may lose it: a job that was meant for a card would take weeks on
        # the CPU.
        self.has_gpus = False

    def sign_on(self) -> None:
        """Make the row."""
        devices = self._devices()
        with self._database.write() as session:
            if not self.has_gpus and has_trained_on_a_card(session, self.identity.host):
                log.warning(
                    "no card is seen, though this machine has trained on one: jobs for any card "
                    "wait for it. See to the driver, or choose the CPU in the job."
                )
                self.has_gpus = True
            session.add(self._row(devices))
        self._next_beat = self._clock() + BEAT_SECONDS

    def beat(self) -> None:
        """Say that the worker lives, if it is time to; sign on again if its row is gone."""
        if self._clock() < self._next_beat:
            return
        self._next_beat = self._clock() + BEAT_SECONDS
        devices = self._devices()
        with self._database.write() as session:
            row = session.get(Worker, self.identity.worker_id)
            if row is None:
                log.warning("this worker's row is gone from the database; it signs on again")
                session.add(self._row(devices))
            else:
                row.last_seen_at = now()
                row.devices = devices
        if self._clock() >= self._next_tidying:
            self._next_tidying = self._clock() + TIDY_SECONDS
            self._tidy()

    def sign_off(self) -> None:
        """Say that the worker ended; whoever comes next need not wait for its silence."""
        with self._database.write() as session:
            row = session.get(Worker, self.identity.worker_id)
            if row is not None:
                row.last_seen_at = row.ended_at = now()

    def _row(self, devices: list[dict[str, object]]) -> Worker:
        process_id = os.getpid()
        ticks = start_ticks(process_id)
        assert ticks is not None, "this process lives"
        return Worker(
            id=self.identity.worker_id,
            host=self.identity.host,
            machine=self.identity.machine,
            process_id=process_id,
            process_start_ticks=ticks,
            devices=devices,
        )

    def _devices(self) -> list[dict[str, object]]:
        devices = self._ask_devices()
        self.device_ids = [device.id for device in devices]
        self.has_gpus |= self.device_ids != [CPU]
        return [device.model_dump() for device in devices]

    def _tidy(self) -> None:
        """Forget old news, workers that are gone, and trash that has expired."""
        with self._database.write() as session:
            prune_feed(session)
            self._forget_workers(session)
        settings = self._settings
        try:
            gone = purge_expired(settings.output_dir, days=settings.trash_days, now=now())
        except OSError as error:
            log.warning("the trash cannot be tidied just now: %s", error)
            return
        for entry in gone:
            log.info("%s has expired in the trash", entry.id)

    def _forget_workers(self, session: Session) -> None:
        """Those that are proved gone and have no runs left that nobody took over."""
        who = self.identity
        has_runs = select(Run.worker_id).where(Run.status.in_(OPEN_RUNS))
        others = select(Worker).where(Worker.id != who.worker_id, Worker.id.not_in(has_runs))
        for worker in session.scalars(others):
            if is_proved_gone(worker, host=who.host, machine=who.machine):
                session.delete(worker)
