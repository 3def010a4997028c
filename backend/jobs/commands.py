"""What was asked of a running trainer, and what became of it.

A request is noted by the API, written into the run's command file by the worker under a number, and
answered by the trainer with an event that carries this number. What no run answered before it ended
is said to be unanswered: it does not wait for the next one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.models import CommandOutcome, CommandRequest
from backend.jobs.feed import announce
from backend.jobs.queries import find_job
from backend.jobs.schemas import CommandEntry, ProblemEntry
from backend.lists import Page
from trainer.commands import CommandName

SHOWN_COMMANDS = 50  # what a person still wants to see of them


def note_command(
    session: Session, job_id: int, command: CommandName, settings: dict[str, Any] | None
) -> None:
    """Leave a request for the worker, and tell open pages."""
    request = CommandRequest(job_id=job_id, command=command, settings=settings or None)
    session.add(request)
    session.flush()
    _announce(session, request)


def settle_command(
    session: Session,
    job_id: int,
    number: int,
    outcome: CommandOutcome,
    *,
    step: int,
    problems: list[dict[str, Any]],
) -> None:
    """Note the trainer's answer to the command with this number, if it was given from here."""
    request = session.scalar(
        select(CommandRequest).where(
            CommandRequest.job_id == job_id, CommandRequest.number == number
        )
    )
    if request is None:  # written by hand, or given twice by a worker that died in between
        return
    request.outcome, request.step, request.problems = outcome, step, problems
    session.flush()
    _announce(session, request)


def close_commands(session: Session, job_id: int) -> None:
    """The run is over: nobody answers any more."""
    open_requests = session.scalars(
        select(CommandRequest).where(
            CommandRequest.job_id == job_id, CommandRequest.outcome.is_(None)
        )
    ).all()
    for request in open_requests:
        request.given_at = request.given_at or now()
        request.outcome = "unanswered"
        session.flush()
        _announce(session, request)


def list_commands(session: Session, job_id: int) -> Page[CommandEntry]:
    """The latest requests, newest first. Raises NotFound."""
    find_job(session, job_id)
    rows = session.scalars(
        select(CommandRequest)
        .where(CommandRequest.job_id == job_id)
        .order_by(CommandRequest.id.desc())
        .limit(SHOWN_COMMANDS)
    )
    return Page(items=[command_entry(row) for row in rows])


def command_entry(row: CommandRequest) -> CommandEntry:
    """A request's row in the wire form."""
    return CommandEntry(
        id=row.id,
        command=row.command,
        settings=row.settings or {},
        requested_at=row.requested_at,
        outcome=row.outcome or "waiting",
        step=row.step,
        problems=[ProblemEntry.model_validate(problem) for problem in row.problems or []],
    )


def _announce(session: Session, request: CommandRequest) -> None:
    entry = command_entry(request).model_dump(mode="json")
    announce(session, "command", request.job_id, {"job_id": request.job_id, **entry})
