"""Bundles over HTTP: a job as one file, and back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from backend.bundles.body import BodyStream
from backend.bundles.contents import collect
from backend.bundles.importing import import_bundle
from backend.bundles.schemas import ImportReport
from backend.bundles.writing import BundleStream
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses, error_responses_beside
from backend.jobs.routes import JobId
from trainer.panels.field import TrainingName

router = APIRouter(tags=["bundles"])

MEDIA_TYPE = "application/x-tar"
_BINARY = {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/jobs/{job_id}/bundle",
    response_class=StreamingResponse,
    responses=error_responses_beside(404, 409) | {200: _BINARY | {"description": "The bundle."}},
)
def read_bundle(
    job_id: JobId,
    database: DatabaseOf,
    settings: SettingsOf,
    step: Annotated[
        int | None, Query(ge=0, description="Of a checkpoint; the newest if left out.")
    ] = None,
    dataset: Annotated[bool, Query(description="Whether the datasets come along.")] = True,
) -> StreamingResponse:
    """The job with its datasets and a checkpoint as one archive, to go on on another machine."""
    contents = collect(database, settings, job_id, step=step, with_dataset=dataset)
    stream = BundleStream(contents)
    manifest = contents.manifest
    at_step = "" if manifest.step is None else f"-{manifest.step:06d}"
    headers = {
        "Content-Disposition": f'attachment; filename="{manifest.training_name}{at_step}.tar"',
        "Content-Length": str(stream.size_bytes),
    }
    return StreamingResponse(stream.chunks(), headers=headers, media_type=MEDIA_TYPE)


@router.post(
    "/bundles",
    status_code=201,
    responses=error_responses(409),
    openapi_extra={"requestBody": {"required": True, **_BINARY}},
)
def create_job_from_bundle(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    name: Annotated[
        TrainingName | None, Query(description="Of the training; a free one if left out.")
    ] = None,
) -> ImportReport:
    """Import a bundle, sent as the body itself: a stopped job that goes on when it is queued."""
    return import_bundle(database, settings, BodyStream(request), name=name)
