"""Rows of workers that are, were or might be: of this boot, another one, another container."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Worker
from backend.launchers.processes import boot_of, machine_id, start_ticks
from backend.settings import Settings, host_name
from backend.worker.claim import Claim, Identity, claim_next

HOUR = timedelta(hours=1)
ANOTHER_BOOT = "00000000-1111-2222-3333-444444444444 pid:[4026531836]"
ANOTHER_CONTAINER = f"{boot_of(machine_id())} pid:[1]"


def worker_row(
    worker_id: str,
    *,
    machine: str | None = None,
    host: str | None = None,
    process_id: int | None = None,
    beat: datetime | None = None,
    devices: tuple[str, ...] = (),
) -> Worker:
    """By default a worker of this machine whose process lives: this one."""
    here = process_id is None
    process_id = os.getpid() if process_id is None else process_id
    return Worker(
        id=worker_id,
        host=host or host_name(),
        machine=machine or machine_id(),
        process_id=process_id,
        process_start_ticks=start_ticks(process_id) if here else 1,
        last_seen_at=beat or now(),
        devices=[
            {"id": device, "name": device, "memory_total_bytes": 1, "memory_used_bytes": 0}
            for device in devices
        ],
    )


def dead_worker_row(worker_id: str, *, beat: datetime | None = None) -> Worker:
    """Of this boot; its process id is another's by now."""
    return worker_row(worker_id, process_id=os.getpid(), beat=beat)


def claim_as(database: Database, settings: Settings, row: Worker) -> Claim:
    """That worker signs on and takes the next job; the claim."""
    who = Identity(row.id, row.host, row.machine)
    with database.write() as session:
        session.add(row)
    with database.write() as session:
        claim = claim_next(session, settings, who, device="cpu", has_gpus=False)
    assert claim is not None
    return claim
