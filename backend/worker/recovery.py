"""Runs whose worker is gone: taken over, with their trainer if it lives.

On this boot of this machine, a process id with its start ticks says for certain who lives: the
worker that had the run, and the trainer. A worker that died between starting a trainer and writing
its process id down left the run's token on the trainer's command line, where it is found.

A run of another container or another machine cannot be looked at that way. Its worker counts as
gone after eight seconds of silence, by our monotonic clock; one of an earlier boot of this machine
at once. Its trainer is gone once nobody holds the lock on the job's folder, which the system
releases with its holder. While the folder cannot be read, the run is left for a minute, and taken
over then: one unreadable folder must not keep its device, and no other run waits for it.

A worker whose process lives but says nothing for a minute is stopped or hangs. Its runs are taken
over as well: a trainer that has ended must not stay "running". Should it go on some day, it finds
that its runs are another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import OPEN_RUNS, Job, Run, Worker
from backend.launchers.launcher import Launcher, TrainerProcess
from backend.settings import Settings
from backend.system.workers import (
    WORKER_SILENCE_SECONDS,
    Heartbeats,
    is_of_earlier_boot,
    is_proved_gone,
)
from backend.worker.claim import Identity
from backend.worker.watch import UNREADABLE_SECONDS, Watched
from trainer import folder_lock
from trainer.job_folder import JobFolder

log = logging.getLogger(__name__)

# Of a worker whose process lives. Longer than the longest turn of one that is only slow.
FROZEN_AFTER_SECONDS = 60.0


class FolderLocks:
    """Asks for the locks of job folders, and remembers which could not be asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic, in seconds."""
        self._clock = clock
        self._unreadable_since: dict[int, float] = {}

    def is_held(self, run_id: int, lock: Path) -> bool:
        """Whether a trainer may hold it: one that cannot be read may be held for a minute."""
        try:
            is_held = folder_lock.is_held(lock)
        except OSError as error:
            if run_id not in self._unreadable_since:
                log.warning("run %d cannot be taken over just now: %s", run_id, error)
            since = self._unreadable_since.setdefault(run_id, self._clock())
            return self._clock() - since < UNREADABLE_SECONDS
        self._unreadable_since.pop(run_id, None)
        return is_held


def take_over(
    database: Database,
    launcher: Launcher,
    settings: Settings,
    who: Identity,
    heartbeats: Heartbeats,
    locks: FolderLocks,
    *,
    except_runs: Container[int] = (),
) -> list[tuple[Watched, TrainerProcess | None]]:
    """Make the runs of workers that are gone ours; each with its trainer, None if that is gone.

    except_runs: those that are watched. A run of our own that is not among them lost its way when
    the database refused a write between its claim and its watch.
    """
    with database.read() as session:
        orphans = _orphans(session, who, heartbeats, except_runs)
    taken: list[tuple[Watched, TrainerProcess | None]] = []
    for run, training_name in orphans:
        folder = JobFolder(settings.output_dir, training_name)
        if run.machine != who.machine and locks.is_held(run.id, folder.lock):
            continue  # a trainer that we cannot see may still write there
        with database.write() as session:
            if not _take(session, run, who):
                continue
        process = _trainer_of(run, launcher) if run.machine == who.machine else None
        _record_process(database, run, process)
        state = "is alive" if process else "is gone"
        log.info("took over job %d, run %d: its trainer %s", run.job_id, run.number, state)
        watched = Watched(run.job_id, run.id, run.token, folder, folder.run(run.number))
        taken.append((watched, process))
    return taken


def _orphans(
    session: Session, who: Identity, heartbeats: Heartbeats, except_runs: Container[int]
) -> list[tuple[Run, str]]:
    query = (
        select(Run, Job.training_name)
        .join(Job, Job.id == Run.job_id)
        .where(Run.status.in_(OPEN_RUNS))
        .order_by(Run.id)
    )
    found = [(run, name) for run, name in session.execute(query) if run.id not in except_runs]
    return [(run, name) for run, name in found if _is_gone(session, run, who, heartbeats)]


def _is_gone(session: Session, run: Run, who: Identity, heartbeats: Heartbeats) -> bool:
    if run.worker_id == who.worker_id:
        return True
    if is_of_earlier_boot(run.host, run.machine, host=who.host, machine=who.machine):
        return True
    worker = session.get(Worker, run.worker_id)
    if worker is not None and is_proved_gone(worker, host=who.host, machine=who.machine):
        return True
    # One that lost its row signs on again with its next beat.
    beat = None if worker is None else worker.last_seen_at
    silent_seconds = heartbeats.silent_seconds(run.worker_id, beat)
    may_be_frozen = worker is not None and worker.machine == who.machine
    return silent_seconds >= (FROZEN_AFTER_SECONDS if may_be_frozen else WORKER_SILENCE_SECONDS)


def _take(session: Session, run: Run, who: Identity) -> bool:
    """Compare-and-set on the run's worker: of two that look, one takes it."""
    taken = session.execute(
        update(Run)
        .where(Run.id == run.id, Run.worker_id == run.worker_id, Run.status.in_(OPEN_RUNS))
        .values(worker_id=who.worker_id)
        .returning(Run.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    return taken is not None


def _trainer_of(run: Run, launcher: Launcher) -> TrainerProcess | None:
    if run.process_id is None or run.process_start_ticks is None:
        return launcher.find(run.token)
    process = TrainerProcess(run.process_id, run.process_start_ticks, run.token)
    return None if launcher.poll(process) else process


def _record_process(database: Database, run: Run, process: TrainerProcess | None) -> None:
    if process is None or run.process_id is not None:
        return
    with database.write() as session:
        row = session.get_one(Run, run.id)
        row.process_id = process.process_id
        row.process_start_ticks = process.start_ticks
