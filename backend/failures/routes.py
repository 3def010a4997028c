"""Failures and their cures over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.failures import service
from backend.failures.schemas import Failure
from backend.jobs.routes import JobId
from backend.jobs.schemas import Job

router = APIRouter(tags=["jobs"])

CureKey = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", examples=["retry"])]


@router.get("/jobs/{job_id}/failure", responses=error_responses(404))
def read_failure(job_id: JobId, database: DatabaseOf, settings: SettingsOf) -> Failure | None:
    """Why the job failed or was interrupted, and the requests that would cure it; else null.

    Cures are planned now, on the machine, disk and datasets as they are now.
    """
    return service.read_failure(database, settings, job_id)


@router.post("/jobs/{job_id}/cures/{key}", responses=error_responses(404, 409))
def apply_cure(job_id: JobId, key: CureKey, database: DatabaseOf, settings: SettingsOf) -> Job:
    """Change the job as the cure says and queue it; the job that was queued, perhaps a new one.

    The key is of one of the failure's cures; 409 once that would do something else.
    """
    return service.apply_cure(database, settings, job_id, key)
