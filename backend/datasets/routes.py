"""Datasets over HTTP, read only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response

from backend.datasets.contents import job_datasets
from backend.datasets.listing import list_datasets, picture_file
from backend.datasets.schemas import DatasetEntry, JobDatasets
from backend.dependencies import SettingsOf
from backend.errors import NotFound, error_responses
from backend.jobs.schemas import JobToExamine
from backend.lists import Page
from backend.small_picture import small_picture
from trainer.file_memory import FileMemory
from trainer.pictures import UnreadablePicture

router = APIRouter(tags=["datasets"], prefix="/datasets")

_KEPT_BRIEFLY = {"Cache-Control": "private, max-age=60"}
_PICTURE = {200: {"content": {"image/*": {}}, "description": "The picture."}}


@router.get("", responses=error_responses())
def read_datasets(settings: SettingsOf) -> Page[DatasetEntry]:
    """The folders of the datasets folder, with what is wrong in them."""
    memory = FileMemory(settings.cache_dir)
    return Page(items=list_datasets(settings.datasets_dir, memory))


@router.post("/contents", responses=error_responses())
def read_job_datasets(body: JobToExamine, settings: SettingsOf) -> JobDatasets:
    """What a job's datasets hold: pictures, the sizes they train at, batches, problems.

    Answers for any config that the schema accepts, named or not.
    """
    return job_datasets(body.config, settings)


@router.get(
    "/{name}/pictures/{file}",
    response_class=FileResponse,
    responses=error_responses(404) | _PICTURE,
)
def read_picture(
    name: str,
    file: str,
    settings: SettingsOf,
    side: Annotated[
        int | None, Query(ge=16, le=1024, description="Scaled down to this many px, as WebP.")
    ] = None,
) -> Response:
    """One picture of a dataset, as it lies there or scaled down."""
    path = picture_file(settings.datasets_dir, name, file)
    if side is None:
        return FileResponse(path, headers=_KEPT_BRIEFLY)
    try:
        small = small_picture(path, side_px=side)
    except UnreadablePicture as error:
        raise NotFound(
            "picture_unreadable",
            f"{path.name} cannot be read: {error}.",
            "Replace or remove it.",
            params={"file": path.name},
        ) from None
    return Response(small, media_type="image/webp", headers=_KEPT_BRIEFLY)
