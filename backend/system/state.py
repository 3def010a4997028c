"""What is known of the machine: from the worker's row, the disk and the settings."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import literal_column, select
from sqlalchemy.orm import Session

from backend import __version__
from backend.db.columns import now
from backend.db.models import Worker
from backend.launchers.processes import machine_id
from backend.settings import Settings, host_name
from backend.system.cards import has_trained_on_a_card
from backend.system.devices import CPU, host_memory
from backend.system.schemas import (
    DeviceEntry,
    DiskState,
    FolderPaths,
    SystemState,
    WorkerState,
)
from backend.system.workers import WORKER_SILENCE_SECONDS, Heartbeats, is_proved_gone
from trainer.disk_places import nearest_folder


def system_state(session: Session, settings: Settings) -> SystemState:
    """The whole answer of GET /api/system."""
    return SystemState(
        version=__version__,
        token_required=settings.token is not None,
        hub_token_set=settings.hf_token is not None,
        devices=device_entries(session),
        worker=worker_state(session),
        disk=DiskState(
            output_free_bytes=free_bytes(settings.output_dir),
            output_total_bytes=total_bytes(settings.output_dir),
            cache_free_bytes=free_bytes(settings.cache_dir),
        ),
        memory=host_memory(),
        folders=FolderPaths(
            datasets=str(settings.datasets_dir),
            output=str(settings.output_dir),
            cache=str(settings.cache_dir),
            models=str(settings.models_dir),
        ),
    )


def worker_state(session: Session) -> WorkerState:
    """Whether somebody would start a queued job."""
    worker, alive = _worker_that_counts(session)
    return WorkerState(alive=alive, last_seen_at=None if worker is None else worker.last_seen_at)


def is_worker_alive(session: Session) -> bool:
    """Whether the devices' figures are those of now."""
    return _worker_that_counts(session)[1]


def device_entries(session: Session) -> list[DeviceEntry]:
    """The devices that the worker has; empty while none was seen."""
    return _devices_of(_worker_that_counts(session)[0])


def known_devices(session: Session) -> tuple[str, ...]:
    """Ids of the devices that the worker has; empty while none was seen."""
    return tuple(device.id for device in device_entries(session))


def absent_devices(session: Session, chosen: Collection[str]) -> frozenset[str]:
    """Of what jobs say as their GPU, what stands for no device that the worker sees now."""
    worker, _ = _worker_that_counts(session)
    if worker is None:
        return frozenset()
    there = {device.id for device in _devices_of(worker)}
    absent = {gpu for gpu in chosen if gpu != "any" and gpu not in there}
    if "any" in chosen and there <= {CPU} and has_trained_on_a_card(session, worker.host):
        absent.add("any")
    return frozenset(absent)


def liveliness(session: Session) -> tuple[bool, tuple[str, ...]]:
    """Worker alive, and its devices: what open pages are told when it changes."""
    worker, alive = _worker_that_counts(session)
    return alive, tuple(device.id for device in _devices_of(worker))


def free_bytes(folder: Path) -> int | None:
    """Free space on the folder's disk; of the nearest parent while the folder is not made."""
    return _room(folder, "free")


def total_bytes(folder: Path) -> int | None:
    """Size of the folder's disk, of the nearest parent in the same way."""
    return _room(folder, "total")


def _room(folder: Path, which: Literal["free", "total"]) -> int | None:
    try:
        return getattr(shutil.disk_usage(nearest_folder(folder)), which)
    except OSError:
        return None


def _devices_of(worker: Worker | None) -> list[DeviceEntry]:
    return [DeviceEntry(**device) for device in worker.devices] if worker else []


def _worker_that_counts(session: Session) -> tuple[Worker | None, bool]:
    """Of the workers that live the one that signed on last, else the last of all; whether it lives.

    The order is that of the rows, which no clock can turn.
    """
    rows = select(Worker).order_by(literal_column("workers.rowid").desc())
    workers = session.scalars(rows).all()
    heartbeats = _heartbeats_of(str(session.get_bind().engine.url))
    living = [worker for worker in workers if _lives(worker, heartbeats)]
    return next(iter([*living, *workers]), None), bool(living)


def _lives(worker: Worker, heartbeats: Heartbeats) -> bool:
    machine = machine_id()
    if is_proved_gone(worker, host=host_name(), machine=machine):
        return False
    if heartbeats.silent_seconds(worker.id, worker.last_seen_at) >= WORKER_SILENCE_SECONDS:
        return False
    if worker.machine == machine or heartbeats.has_changed(worker.id):
        return True
    # Of another container, and never seen to beat so far: until it was watched for long enough,
    # its last moment is all that is known.
    return abs(now() - worker.last_seen_at) < timedelta(seconds=WORKER_SILENCE_SECONDS)


@functools.cache
def _heartbeats_of(_database_url: str) -> Heartbeats:
    """What this process has seen of one database's workers."""
    return Heartbeats()
