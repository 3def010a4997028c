"""Which jobs a list is to hold: by kind, state, part of the name, architecture, what they wait for.

Name and architecture are looked for in every row: a scan of a thousand jobs takes a few
milliseconds, of ten thousand some tens, and no index serves a part of a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, not_, or_

from backend.db.models import Job
from backend.jobs.status import ACTIVE, JobStatus
from backend.jobs.waiting import may_start
from backend.jobs.work import JobKind
from trainer.panels.model import ModelPanel


@dataclass(frozen=True)
class JobFilter:
    """What is left empty, or None, leaves nothing out.

    is_scheduled: whether a moment to come, or another job, holds it back.
    """

    statuses: Sequence[JobStatus] = ()
    search: str = ""
    architecture: str | None = None
    is_scheduled: bool | None = None
    kind: JobKind | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a query's `where`."""
        found: list[ColumnElement[bool]] = []
        if self.statuses:
            found.append(_is_shown_as(self.statuses))
        if self.search.strip():
            found.append(Job.training_name.icontains(self.search.strip(), autoescape=True))
        if self.architecture is not None:
            found.append(architecture_column() == self.architecture)
        if self.kind is not None:
            found.append(Job.kind == self.kind)
        if self.is_scheduled is not None:
            found.append(not_(may_start()) if self.is_scheduled else may_start())
        return found


def _is_shown_as(statuses: Sequence[JobStatus]) -> ColumnElement[bool]:
    """`shown_status_column` compared, in words that the index on status understands."""
    as_they_are = Job.status.in_(set(statuses) - ACTIVE)
    active = ACTIVE & set(statuses)
    if not active:
        return as_they_are
    not_asked = and_(Job.status.in_(active), Job.stop_requested_at.is_(None))
    if JobStatus.STOPPING not in active:
        return or_(as_they_are, not_asked)
    asked = and_(Job.status.in_(ACTIVE), Job.stop_requested_at.is_not(None))
    return or_(as_they_are, not_asked, asked)


def shown_status_column() -> ColumnElement[Any]:
    """A job that was asked to stop is stopping, even before its worker looked."""
    asked = and_(Job.stop_requested_at.is_not(None), Job.status.in_(ACTIVE))
    return case((asked, JobStatus.STOPPING.value), else_=Job.status)


def architecture_column() -> ColumnElement[str]:
    """What the job's config says, the default where it does not."""
    default = ModelPanel.model_fields["model_architecture"].default
    said = Job.config["model"]["model_architecture"].as_string()
    return func.coalesce(said, str(default.value))
