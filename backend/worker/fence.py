"""Which worker a run belongs to: nobody writes for a run that another worker has taken or closed.

A worker that is frozen for eight seconds counts as gone; one in another container closes its runs
and may start the next ones. When it thaws, what it still means to write is about the past. So each
of its transactions begins by asking whether the run is open and its own. Writers come one at a
time, so the answer holds until the transaction ends: a compare-and-set.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import OPEN_RUNS, Run


class RunLost(Exception):
    """Another worker has taken the run over or closed it, or it was deleted since."""


def own_run(session: Session, run_id: int, worker_id: str) -> Run:
    """The run, while it is open and this worker's. Raises RunLost."""
    run = session.scalar(
        select(Run).where(Run.id == run_id, Run.worker_id == worker_id, Run.status.in_(OPEN_RUNS))
    )
    if run is None:
        raise RunLost
    return run


def is_open(session: Session, run_id: int) -> bool:
    """Whether the run is not over, whosever it is."""
    status = session.scalar(select(Run.status).where(Run.id == run_id))
    return status in OPEN_RUNS
