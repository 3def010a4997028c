"""Taking the next job: one statement decides which, one transaction makes it ours.

The claim is one UPDATE whose WHERE picks the first waiting job that may run on the device, and
SQLite lets one writer in at a time: of two workers, the second finds the job taken and gets the
next. The lease on the device is a row, looked for and written in the same transaction.

A device belongs to the boot, not to the process namespace: two containers of one machine see the
same card, and neither can look the other's processes up. So a lease of any namespace of our boot
counts, and goes when its run is closed: by its own worker, or by one that took the run over
(`recovery.py`), which of another namespace only silence and the folder's lock allow.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.models import Job, Lease, Run
from backend.jobs.moves import move_one
from backend.jobs.status import JobStatus
from backend.jobs.waiting import ALL_DEVICES, may_start, paused_devices, place
from backend.launchers.processes import boot_of
from backend.settings import Settings
from backend.system.devices import CPU
from trainer.job_folder import JobFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """Who claims: the worker's id and host, and the machine whose devices it uses."""

    worker_id: str
    host: str
    machine: str


@dataclass(frozen=True)
class Claim:
    """A job that is ours to start. resume_from_step: see models.Job."""

    job_id: int
    run_id: int
    run_number: int
    token: str
    device: str
    training_name: str
    config: dict[str, Any]
    resume_from_step: int | None = None


def free_devices(
    session: Session, who: Identity, *, devices: Sequence[str], has_gpus: bool
) -> list[str]:
    """The devices for which a claim is worth the write lock: free, and somebody waits for them."""
    waiting = select(exists().where(Job.status == JobStatus.QUEUED))
    if not session.scalar(waiting):
        return []
    leased = _leased(session, who)
    return [
        device
        for device in devices
        if device not in leased and session.scalar(_first_waiting(device, has_gpus)) is not None
    ]


def claim_next(
    session: Session, settings: Settings, who: Identity, *, device: str, has_gpus: bool
) -> Claim | None:
    """Make the first waiting job that may run on `device` ours; None if there is none."""
    if device in _leased(session, who):
        return None
    if paused_devices(session) & {device, ALL_DEVICES}:
        return None
    job_id = move_one(
        session,
        Job.id == _first_waiting(device, has_gpus).scalar_subquery(),
        from_status=JobStatus.QUEUED,
        to_status=JobStatus.STARTING,
        reason=f"claimed for {device} on {who.host}",
        started_at=now(),
        finished_at=None,
        last_sign_at=None,
        best_step_seconds=None,
    )
    if job_id is None:
        return None
    job = session.get_one(Job, job_id)
    run = Run(
        job_id=job_id,
        number=_next_number(session, settings, job),
        token=secrets.token_hex(16),
        worker_id=who.worker_id,
        host=who.host,
        machine=who.machine,
        device=device,
    )
    session.add(run)
    session.flush()
    session.add(Lease(machine=who.machine, device=device, run_id=run.id))
    return Claim(
        job_id,
        run.id,
        run.number,
        run.token,
        device,
        job.training_name,
        dict(job.config),
        job.resume_from_step,
    )


def _leased(session: Session, who: Identity) -> set[str]:
    """The devices of this machine that a run has, whichever container it is in."""
    boot = boot_of(who.machine)
    return {
        lease.device
        for lease in session.scalars(select(Lease))
        if lease.machine == who.machine or (boot is not None and boot_of(lease.machine) == boot)
    }


def _first_waiting(device: str, has_gpus: bool) -> Select[Any]:
    """The job that is to start next on the device."""
    too_small = func.json_each(Job.too_small_devices).table_valued("value")
    return (
        select(Job.id)
        .where(
            Job.status == JobStatus.QUEUED,
            Job.gpu.in_(accepted(device, has_gpus)),
            ~exists().where(too_small.c.value == device),
            may_start(),
        )
        .order_by(place(), Job.id)
        .limit(1)
    )


def accepted(device: str, has_gpus: bool) -> list[str]:
    """What `job.gpu` may say for the device: `any` means a GPU where there is one."""
    return [device] if device == CPU and has_gpus else [device, "any"]


def _next_number(session: Session, settings: Settings, job: Job) -> int:
    """One past the highest in the database and on the disk, which may know more.

    A folder that cannot be read is the launch's to tell of: that fails the job, and no other.
    """
    last = session.scalar(select(func.max(Run.number)).where(Run.job_id == job.id)) or 0
    try:
        on_disk = JobFolder(settings.output_dir, job.training_name).next_run_number()
    except OSError as error:
        log.warning("job %d: its runs cannot be counted: %s", job.id, error)
        on_disk = 0
    return max(last + 1, on_disk)
