"""What hooks are to be told, as rows: noted with what happened, sent later by sender.py.

A note is written in the transaction that records the event itself, which happens once, so a restart
loses none and doubles none. Sending takes time and may fail; that is nobody's business here. A row
is claimed before it is sent and settled after. Should the worker die in between, it is sent again
with the same id, by which a receiver can tell: no sender can do better over a network.

The box is bounded. While a receiver is away for days, the oldest notes make room.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.models import HookDelivery, Job
from backend.jobs.feed import announce
from backend.jobs.work import DRAWING
from backend.settings import HookEvent, Settings

MOST_WAITING = 1_000
KEPT_SETTLED = 200  # for the page that shows what became of them
MOST_ATTEMPTS = 10  # with pauses from 5 s doubling to an hour: about an hour and a half
LONGEST_PAUSE_SECONDS = 3_600.0

Target = Literal["webhook", "command"]


@dataclass(frozen=True)
class Claimed:
    """A note that is ours to send now. id: the same at every attempt."""

    row_id: int
    target: Target
    event: str
    body: dict[str, Any]


def note(session: Session, settings: Settings, event: HookEvent, job: Job, **details: Any) -> None:
    """Leave a note for every hook that wants this event. Of drawings nobody is told: whoever asked
    for one waits for it.
    """
    if event not in settings.hook_events or job.kind == DRAWING:
        return
    body = {"event": event, "at": now().isoformat(), "job": _about(job), **details}
    _add(session, settings, event, job.id, body)


def note_test(session: Session, settings: Settings) -> int:
    """Leave a note that says nothing but that hooks work; for how many hooks."""
    return _add(session, settings, "test", None, {"event": "test", "at": now().isoformat()})


def targets(settings: Settings) -> list[Target]:
    """The hooks that are set."""
    found: list[Target] = []
    if settings.hook_url is not None:
        found.append("webhook")
    if settings.hook_command:
        found.append("command")
    return found


def claim_due(session: Session, settings: Settings, *, hold_seconds: float) -> Claimed | None:
    """The first note that is due, ours for `hold_seconds`; None if there is none."""
    moment = now()
    # Further ahead than any pause: the clock was turned back since, and says nothing of when.
    longest_seconds = max(LONGEST_PAUSE_SECONDS, hold_seconds)
    is_due = or_(
        HookDelivery.next_try_at <= moment,
        HookDelivery.next_try_at > moment + timedelta(seconds=longest_seconds),
    )
    due = (
        select(HookDelivery.id)
        .where(
            HookDelivery.settled_at.is_(None),
            is_due,
            HookDelivery.target.in_(targets(settings)),
        )
        .order_by(HookDelivery.next_try_at, HookDelivery.id)
        .limit(1)
        .scalar_subquery()
    )
    row = session.execute(
        update(HookDelivery)
        .where(HookDelivery.id == due)
        .values(
            attempts=HookDelivery.attempts + 1,
            next_try_at=moment + timedelta(seconds=hold_seconds),
        )
        .returning(HookDelivery)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if row is None:
        return None
    return Claimed(row.id, row.target, row.event, {"id": row.id, **row.body})


def settle(
    session: Session, row_id: int, *, error: str | None, first_pause_seconds: float
) -> datetime | None:
    """Write how an attempt went; the moment of the next one, None if there will be none."""
    row = session.get(HookDelivery, row_id)
    if row is None:  # it made room for newer ones meanwhile
        return None
    row.error = error
    announce(session, "hooks", None, {})
    if error is None or row.attempts >= MOST_ATTEMPTS:
        row.settled_at = now()
        _forget_settled(session)
        return None
    pause = min(first_pause_seconds * 2 ** (row.attempts - 1), LONGEST_PAUSE_SECONDS)
    row.next_try_at = now() + timedelta(seconds=pause)
    return row.next_try_at


def _add(
    session: Session, settings: Settings, event: str, job_id: int | None, body: dict[str, Any]
) -> int:
    found = targets(settings)
    for target in found:
        session.add(HookDelivery(target=target, event=event, job_id=job_id, body=body))
    if found:
        announce(session, "hooks", None, {})
    session.flush()
    waiting = select(HookDelivery.id).where(HookDelivery.settled_at.is_(None))
    too_many = waiting.order_by(HookDelivery.id.desc()).offset(MOST_WAITING).subquery()
    session.execute(delete(HookDelivery).where(HookDelivery.id.in_(select(too_many.c.id))))
    return len(found)


def _forget_settled(session: Session) -> None:
    session.flush()
    settled = select(HookDelivery.id).where(HookDelivery.settled_at.is_not(None))
    newest = settled.order_by(HookDelivery.id.desc()).limit(KEPT_SETTLED).subquery()
    session.execute(
        delete(HookDelivery).where(
            HookDelivery.settled_at.is_not(None),
            HookDelivery.id < select(func.min(newest.c.id)).scalar_subquery(),
        )
    )


def _about(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "training_name": job.training_name,
        "status": job.status.value,
        "step": job.step,
        "loss": job.loss,
        "error": {key: job.error[key] for key in ("code", "message", "hint")}
        if job.error
        else None,
    }
