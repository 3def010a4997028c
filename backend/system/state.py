"""What is known of the machine: from the worker's row, the disk and the settings."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import __version__
from backend.db.columns import now
from backend.db.models import Worker
from backend.settings import Settings
from backend.system.devices import host_memory
from backend.system.schemas import (
    DeviceEntry,
    DiskState,
    FolderPaths,
    SystemState,
    WorkerState,
)
from trainer.disk_places import nearest_folder

# Workers beat every two seconds; a machine that swaps may take some more.
WORKER_SILENCE = timedelta(seconds=10)


def system_state(session: Session, settings: Settings) -> SystemState:
    """The whole answer of GET /api/system."""
    worker = _latest_worker(session)
    return SystemState(
        version=__version__,
        token_required=settings.token is not None,
        hub_token_set=settings.hf_token is not None,
        devices=device_entries(session),
        worker=worker_state(worker),
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


def worker_state(worker: Worker | None) -> WorkerState:
    """Whether somebody would start a queued job."""
    if worker is None:
        return WorkerState(alive=False, last_seen_at=None)
    alive = worker.ended_at is None and now() - worker.last_seen_at < WORKER_SILENCE
    return WorkerState(alive=alive, last_seen_at=worker.last_seen_at)


def is_worker_alive(session: Session) -> bool:
    """Whether the devices' figures are those of now."""
    return worker_state(_latest_worker(session)).alive


def device_entries(session: Session) -> list[DeviceEntry]:
    """The devices that the worker has; empty while none was seen."""
    worker = _latest_worker(session)
    return [DeviceEntry(**device) for device in worker.devices] if worker else []


def known_devices(session: Session) -> tuple[str, ...]:
    """Ids of the devices that the worker has; empty while none was seen."""
    return tuple(device.id for device in device_entries(session))


def liveliness(session: Session) -> tuple[bool, tuple[str, ...]]:
    """Worker alive, and its devices: what open pages are told when it changes."""
    return worker_state(_latest_worker(session)).alive, known_devices(session)


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


def _latest_worker(session: Session) -> Worker | None:
    return session.scalar(select(Worker).order_by(Worker.last_seen_at.desc()).limit(1))
