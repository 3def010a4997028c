"""The picture that a run is drawing just now, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse
from sqlalchemy import select

from backend.db.models import Job, Run
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import NotFound, error_responses
from trainer.job_folder import JobFolder

router = APIRouter(tags=["artifacts"], prefix="/jobs/{job_id}")

_PNG = {200: {"content": {"image/png": {}}, "description": "The preview."}}


@router.get("/preview", response_class=FileResponse, responses=error_responses(404) | _PNG)
def read_preview(
    job_id: Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])],
    database: DatabaseOf,
    settings: SettingsOf,
    n: Annotated[int, Query(description="Any number; another one asks anew.")] = 0,
) -> FileResponse:
    """What the job's newest run is drawing, or drew last: 1/8 of the picture's size.

    The event `preview` says when there is another one.
    """
    with database.read() as session:
        job = session.get(Job, job_id)
        number = session.scalar(
            select(Run.number).where(Run.job_id == job_id).order_by(Run.number.desc()).limit(1)
        )
        name = None if job is None else job.training_name
    file = (
        None
        if name is None or number is None
        else JobFolder(settings.output_dir, name).run(number).preview
    )
    if file is None or not file.is_file():
        raise NotFound("preview_missing", f"Job {job_id} is drawing no picture.", "")
    return FileResponse(file, media_type="image/png", headers={"Cache-Control": "no-store"})
