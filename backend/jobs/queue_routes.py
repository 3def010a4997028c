"""The queue over HTTP: who starts next, when, and whether anything starts at all."""

from __future__ import annotations

from fastapi import APIRouter

from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.jobs import queries, waiting
from backend.jobs.routes import JobId
from backend.jobs.schemas import Job, MoveInQueue, Pause, PlaceInQueue, QueueState

router = APIRouter(tags=["queue"])


@router.get("/queue", responses=error_responses())
def read_queue(database: DatabaseOf) -> QueueState:
    """What is paused, and how many jobs there are.

    The jobs that wait are `GET /jobs?status=queued&order=queue`.
    """
    with database.read() as session:
        return queries.queue_state(session)


@router.post("/queue/pause", responses=error_responses())
def pause_queue(body: Pause, database: DatabaseOf) -> QueueState:
    """Let nothing more start, on one device or on any; what runs goes on."""
    with database.write() as session:
        waiting.pause(session, body.device)
        session.flush()
        return queries.queue_state(session)


@router.post("/queue/resume", responses=error_responses())
def resume_queue(body: Pause, database: DatabaseOf) -> QueueState:
    """Let jobs start again; `all` ends every pause."""
    with database.write() as session:
        waiting.resume(session, body.device)
        return queries.queue_state(session)


@router.post("/jobs/{job_id}/move", responses=error_responses(404, 409))
def move_in_queue(
    job_id: JobId, body: MoveInQueue, database: DatabaseOf, settings: SettingsOf
) -> Job:
    """Put a waiting job before another one, or at the end."""
    with database.write() as session:
        job = queries.find_job(session, job_id)
        before = body.before_job_id
        other = None if before is None else queries.find_job(session, before)
        waiting.move_before(session, job, other)
        session.flush()
        return queries.read_job(session, settings, job_id)


@router.patch("/jobs/{job_id}/place", responses=error_responses(404, 409))
def change_place_in_queue(
    job_id: JobId, body: PlaceInQueue, database: DatabaseOf, settings: SettingsOf
) -> Job:
    """When the job may start: its priority, a moment, another job to wait for."""
    with database.write() as session:
        job = queries.find_job(session, job_id)
        waiting.change_place(session, job, body.model_dump(exclude_unset=True))
        session.flush()
        return queries.read_job(session, settings, job_id)
