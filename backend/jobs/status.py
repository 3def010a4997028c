"""The job's states, and which moves between them are legal. `moves.py` makes them.

    draft ──▶ queued ──▶ starting ──▶ running ──▶ completed | failed | interrupted
                ▲  │         │           │
                │  ▼         └──▶ stopping ◀┘ ──▶ stopped (or any of the above)
                └─ any end, or draft

A run may end before anybody saw it run, so `starting` leads to every end; a trainer that completes
while it is asked to stop has completed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands."""

    DRAFT = "draft"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ENDS = frozenset({JobStatus.STOPPED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.INTERRUPTED})
ACTIVE = frozenset({JobStatus.STARTING, JobStatus.RUNNING, JobStatus.STOPPING})
EDITABLE = ENDS | {JobStatus.DRAFT}

LEGAL_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.DRAFT: frozenset({JobStatus.QUEUED}),
    JobStatus.QUEUED: frozenset({JobStatus.STARTING, JobStatus.DRAFT, JobStatus.STOPPED}),
    JobStatus.STARTING: ENDS | {JobStatus.RUNNING, JobStatus.STOPPING},
    JobStatus.RUNNING: ENDS | {JobStatus.STOPPING},
    JobStatus.STOPPING: ENDS,
} | {end: frozenset({JobStatus.QUEUED}) for end in ENDS}


def shown(status: JobStatus, stop_requested_at: datetime | None) -> JobStatus:
    """What people are told: asked to stop, a job is stopping, even before its worker looked."""
    asked = stop_requested_at is not None and status in ACTIVE
    return JobStatus.STOPPING if asked else status
