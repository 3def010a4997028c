"""Pictures and LoRA files over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, Response, StreamingResponse

from backend.artifacts import queries
from backend.artifacts.lora_download import lora_download
from backend.artifacts.picture_archive import stored_zip
from backend.artifacts.schemas import CheckpointEntry, CheckpointMarks, SampleEntry, SampleMarks
from backend.artifacts.thumbnails import Side, thumbnail_data
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.lists import Page
from trainer.lora_keys import KeyFormat

router = APIRouter(tags=["artifacts"], prefix="/jobs/{job_id}")

Id = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])]
SampleAfter = Annotated[str | None, Query(pattern=r"^\d{1,18}(-\d{1,18}){0,2}$")]
After = Annotated[str | None, Query(pattern=r"^\d{1,18}(-\d{1,18})?$")]

_PNG = {200: {"content": {"image/png": {}}, "description": "The picture."}}
_WEBP = {200: {"content": {"image/webp": {}}, "description": "The picture, small."}}
_ZIP = {200: {"content": {"application/zip": {}}, "description": "The pictures."}}
_FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}
_LORA = {200: {"content": {"application/octet-stream": {}}, "description": "The LoRA."}}


@router.get("/samples", responses=error_responses(404))
def list_samples(
    job_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    superseded: Annotated[
        bool, Query(description="Also what was set aside by a resume from an earlier step.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
    after: SampleAfter = None,
) -> Page[SampleEntry]:
    """Pictures by step, then prompt; step 0 is the base model's."""
    with database.read() as session:
        return queries.list_samples(
            session, settings, job_id, superseded=superseded, limit=limit, after=after
        )


@router.get(
    "/samples.zip",
    response_class=StreamingResponse,
    responses=error_responses(404) | _ZIP,
)
def read_samples(
    job_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    ids: Annotated[
        str | None,
        Query(pattern=r"^\d{1,18}(-\d{1,18})?(,\d{1,18}(-\d{1,18})?)*$", examples=["3,7-12"]),
    ] = None,
) -> StreamingResponse:
    """Pictures as step-000250/02-a-red-circle-seed42.png in one archive; all, or those of `ids`."""
    with database.read() as session:
        name, pictures = queries.pictures(session, settings, job_id, ids)
    headers = {"Content-Disposition": f'attachment; filename="{name}-samples.zip"'}
    return StreamingResponse(stored_zip(pictures), media_type="application/zip", headers=headers)


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
        path, name = queries.sample_file(session, settings, job_id, sample_id)
    return FileResponse(
        path,
        media_type="image/png",
        headers=_FOR_GOOD,
        filename=name,
        content_disposition_type="inline",
    )


@router.get(
    "/samples/{sample_id}/thumbnail",
    response_class=Response,
    responses=error_responses(404, 422) | _WEBP,
)
def read_thumbnail(
    job_id: Id,
    sample_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    side: Annotated[Side, Query(description="Of the longer side, in pixels.")] = Side.SMALL,
) -> Response:
    """The picture made small, as WebP; one that is no larger as it is. Made once and kept."""
    with database.read() as session:
        path, _ = queries.sample_file(session, settings, job_id, sample_id)
    # A few kilobytes, of which a page asks for dozens at once: sent as they are read here.
    small, media_type = thumbnail_data(path, settings.cache_dir, side_px=side)
    return Response(small, media_type=media_type, headers=_FOR_GOOD)


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
    """LoRA files by step; the end result behind the checkpoint whose LoRA it is."""
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
    responses=error_responses(404, 422) | _LORA,
)
def read_checkpoint(
    job_id: Id,
    checkpoint_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    key_format: Annotated[
        KeyFormat | None,
        Query(alias="format", description="Its keys in these names; as it was saved if left out."),
    ] = None,
) -> Response:
    """The LoRA, named after the training and the step."""
    with database.read() as session:
        path, name = queries.checkpoint_file(session, settings, job_id, checkpoint_id)
    return lora_download(path, name, key_format)
