"""Pictures and LoRA files over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse

from backend.artifacts import queries
from backend.artifacts.schemas import CheckpointEntry, CheckpointMarks, SampleEntry, SampleMarks
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.lists import Page

router = APIRouter(tags=["artifacts"], prefix="/jobs/{job_id}")

Id = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])]
After = Annotated[str | None, Query(pattern=r"^\d{1,18}(-\d{1,18})?$")]

_PNG = {200: {"content": {"image/png": {}}, "description": "The picture."}}
_LORA = {200: {"content": {"application/octet-stream": {}}, "description": "The LoRA."}}


@router.get("/samples", responses=error_responses(404))
def list_samples(
    job_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
    after: After = None,
) -> Page[SampleEntry]:
    """Pictures by step, then prompt; step 0 is the base model's."""
    with database.read() as session:
        return queries.list_samples(session, settings, job_id, limit=limit, after=after)


@router.get(
    "/samples/{sample_id}/image",
    response_class=FileResponse,
    responses=error_responses(404) | _PNG,
)
def read_sample(
    job_id: Id, sample_id: Id, database: DatabaseOf, settings: SettingsOf
) -> FileResponse:
    """The PNG. What an address shows never changes."""
    with database.read() as session:
        path = queries.sample_file(session, settings, job_id, sample_id)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(path, media_type="image/png", headers=headers)


@router.patch("/samples/{sample_id}", responses=error_responses(404, 409))
def mark_sample(
    job_id: Id, sample_id: Id, body: SampleMarks, database: DatabaseOf, settings: SettingsOf
) -> SampleEntry:
    """Star it or write a note; both lie beside the pictures, in pins.json."""
    changes = body.model_dump(exclude_unset=True)
    with database.write() as session:
        return queries.mark_sample(session, settings, job_id, sample_id, changes)


@router.get("/checkpoints", responses=error_responses(404))
def list_checkpoints(
    job_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
    after: After = None,
) -> Page[CheckpointEntry]:
    """LoRA files by step; the end result last."""
    with database.read() as session:
        return queries.list_checkpoints(session, settings, job_id, limit=limit, after=after)


@router.patch("/checkpoints/{checkpoint_id}", responses=error_responses(404, 409))
def mark_checkpoint(
    job_id: Id, checkpoint_id: Id, body: CheckpointMarks, database: DatabaseOf, settings: SettingsOf
) -> CheckpointEntry:
    """Pin it, star it or write a note, also while the job runs: what is pinned or starred stays."""
    changes = body.model_dump(exclude_unset=True)
    with database.write() as session:
        return queries.mark_checkpoint(session, settings, job_id, checkpoint_id, changes)


@router.get(
    "/checkpoints/{checkpoint_id}/file",
    response_class=FileResponse,
    responses=error_responses(404) | _LORA,
)
def read_checkpoint(
    job_id: Id, checkpoint_id: Id, database: DatabaseOf, settings: SettingsOf
) -> FileResponse:
    """The LoRA, named after the training and the step."""
    with database.read() as session:
        path, name = queries.checkpoint_file(session, settings, job_id, checkpoint_id)
    return FileResponse(path, media_type="application/octet-stream", filename=name)
