"""Drawings over HTTP.

A drawing is a job: what stops it, deletes it, queues it again, reads its events, its log, its
preview and its pictures are the jobs' own routes, under its id.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from backend.dependencies import DatabaseOf, SettingsOf
from backend.drawings import queries, service
from backend.drawings.schemas import (
    Drawing,
    DrawingEntry,
    DrawingToCreate,
    DrawingToExamine,
    DrawingVerdict,
)
from backend.errors import error_responses
from backend.jobs.routes import JobId
from backend.lists import Page

router = APIRouter(tags=["drawings"], prefix="/drawings")


@router.get("", responses=error_responses())
def list_drawings(
    database: DatabaseOf,
    settings: SettingsOf,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Page[DrawingEntry]:
    """Drawings with their pictures, the newest first."""
    with database.read() as session:
        return queries.list_drawings(session, settings, limit=limit, after=after)


@router.post("", status_code=201, responses=error_responses())
def create_drawing(body: DrawingToCreate, database: DatabaseOf, settings: SettingsOf) -> Drawing:
    """Queue a drawing; it starts on the next device that no training has. If it is refused,
    nothing is created.
    """
    return service.create_drawing(database, settings, body.config, priority=body.priority)


@router.post("/validate", responses=error_responses())
def validate_drawing(
    body: DrawingToExamine, database: DatabaseOf, settings: SettingsOf
) -> DrawingVerdict:
    """What queueing would say; a drawing that cannot be drawn is an answer, not an error."""
    return service.examine(body.config, database, settings)


@router.get("/{drawing_id}", responses=error_responses(404))
def read_drawing(drawing_id: JobId, database: DatabaseOf, settings: SettingsOf) -> Drawing:
    """One drawing with its config and runs."""
    with database.read() as session:
        return queries.read_drawing(session, settings, drawing_id)
