"""A run's outcome into its rows: the run closed, its device free, its job moved to its end."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.db.models import Job, Lease, Run
from backend.jobs.commands import close_commands
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.runs.outcome import Outcome


def settle(
    session: Session,
    job: Job,
    run: Run,
    outcome: Outcome,
    exit_code: int | None,
    *,
    ended_at: datetime,
) -> None:
    """Write how the run ended. The job must be in one of the states of a job that runs."""
    said = run.finish["problems"] if run.finish else []
    own = [outcome.problem] if outcome.problem and not said else []
    run.problems = [*run.problems, *said, *own]
    run.status = outcome.status.value
    run.finished_at = ended_at
    run.exit_code = exit_code
    session.execute(delete(Lease).where(Lease.run_id == run.id))
    close_commands(session, job.id)
    is_an_error = outcome.status in (JobStatus.FAILED, JobStatus.INTERRUPTED)
    moved = move(
        session,
        job.id,
        from_status=job.status,
        to_status=outcome.status,
        reason=outcome.reason,
        error=outcome.problem if is_an_error else None,
        finished_at=ended_at,
        stop_requested_at=None,
        progress=None,
        phase=run.phase if is_an_error else None,
    )
    assert moved, "only the worker moves a job that runs"
