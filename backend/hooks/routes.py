"""Hooks over HTTP: what is set, what became of it, and a test."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from backend.db.models import HookDelivery
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import Conflict, error_responses
from backend.hooks.outbox import note_test, targets
from backend.hooks.schemas import Delivery, HooksState, HookTest

router = APIRouter(tags=["hooks"])

SHOWN_DELIVERIES = 50


@router.get("/hooks", responses=error_responses())
def read_hooks(settings: SettingsOf, database: DatabaseOf) -> HooksState:
    """Which hooks are set, and what became of the latest notes."""
    with database.read() as session:
        rows = session.scalars(
            select(HookDelivery).order_by(HookDelivery.id.desc()).limit(SHOWN_DELIVERIES)
        ).all()
    return HooksState(
        webhook_set=settings.hook_url is not None,
        command_set=bool(settings.hook_command),
        events=list(settings.hook_events),
        deliveries=[_delivery(row) for row in rows],
    )


@router.post("/hooks/test", status_code=202, responses=error_responses(409))
def try_hooks(settings: SettingsOf, database: DatabaseOf) -> HookTest:
    """Tell every hook that is set an event named test; the worker sends it."""
    if not targets(settings):
        raise Conflict(
            "no_hooks",
            "No hook is set.",
            "Set DARKROOM_HOOK_URL or DARKROOM_HOOK_COMMAND and start Darkroom again.",
        )
    with database.write() as session:
        return HookTest(num_hooks=note_test(session, settings))


def _delivery(row: HookDelivery) -> Delivery:
    shown = Delivery.model_validate(row)
    return shown if row.settled_at is None else shown.model_copy(update={"next_try_at": None})
