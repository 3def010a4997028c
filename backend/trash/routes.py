"""The trash over HTTP: what was deleted, and back again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.jobs.routes import JobId
from backend.lists import Page
from backend.trash import pictures, service
from backend.trash.schemas import Restored, TrashEntry

router = APIRouter(tags=["trash"])

EntryId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")]
SampleId = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])]
CheckpointId = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])]


@router.delete("/jobs/{job_id}/checkpoints/{checkpoint_id}", responses=error_responses(404, 409))
def delete_checkpoint(
    job_id: JobId, checkpoint_id: CheckpointId, database: DatabaseOf, settings: SettingsOf
) -> TrashEntry:
    """Move one checkpoint, or the end result, to the trash; the answer is what restores it."""
    return service.delete_checkpoint(database, settings, job_id, checkpoint_id)


@router.delete("/jobs/{job_id}/samples/{sample_id}", responses=error_responses(404, 409))
def delete_sample(
    job_id: JobId, sample_id: SampleId, database: DatabaseOf, settings: SettingsOf
) -> TrashEntry:
    """Move one picture to the trash, also while its job runs; the answer is what restores it."""
    entry = pictures.delete_picture(database, settings, job_id, sample_id)
    return service.trash_entry(settings, entry)


@router.get("/trash", responses=error_responses())
def list_trash(settings: SettingsOf) -> Page[TrashEntry]:
    """Jobs, checkpoints and pictures that were deleted with their files, the latest first."""
    return Page(items=service.list_trash(settings))


@router.post("/trash/{entry_id}/restore", responses=error_responses(404, 409))
def restore_from_trash(entry_id: EntryId, database: DatabaseOf, settings: SettingsOf) -> Restored:
    """Take it back: its files to where they were, its rows from the files."""
    return service.restore(database, settings, entry_id)


@router.delete("/trash/{entry_id}", status_code=204, responses=error_responses(404))
def purge_from_trash(entry_id: EntryId, settings: SettingsOf) -> Response:
    """Remove it for good."""
    service.purge(settings, entry_id)
    return Response(status_code=204)


@router.delete("/trash", status_code=204, responses=error_responses())
def empty_trash(settings: SettingsOf) -> Response:
    """Remove for good whatever is in the trash."""
    service.purge_all(settings)
    return Response(status_code=204)
