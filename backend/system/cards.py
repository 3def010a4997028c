"""Cards that a machine had: a driver that is lost over a restart must not make it one without."""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from backend.db.models import Run
from backend.system.devices import CPU


def has_trained_on_a_card(session: Session, host: str) -> bool:
    """Whether a run of this host, by its name, was ever on anything but the CPU."""
    # A run that a rescan made up for files without runs has no device.
    runs = exists().where(Run.host == host, Run.device.not_in([CPU, ""]))
    return bool(session.scalar(select(runs)))
