"""LoRA files to draw with, over HTTP: listed, uploaded, deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from backend.bundles.body import BodyStream
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.lists import Page
from backend.loras.listing import list_loras as listed
from backend.loras.listing import upload_entry
from backend.loras.schemas import LoraEntry
from backend.loras.uploads import NAME_PATTERN, delete_upload, take_upload

router = APIRouter(tags=["loras"], prefix="/loras")

RowId = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
_BINARY = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}


@router.get("", responses=error_responses())
def list_loras(
    database: DatabaseOf,
    settings: SettingsOf,
    search: Annotated[str, Query(max_length=64, description="In the label.")] = "",
    job_id: RowId = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Of jobs' files.")] = 100,
    after: RowId = None,
) -> Page[LoraEntry]:
    """What can be drawn with: the models folder's `loras` with all uploads, then checkpoints and
    results of jobs, the newest first.
    """
    with database.read() as session:
        return listed(session, settings, search=search, job_id=job_id, limit=limit, after=after)


@router.post(
    "",
    status_code=201,
    responses=error_responses(409),
    openapi_extra={"requestBody": {"required": True, **_BINARY}},
)
def upload_lora(
    request: Request,
    settings: SettingsOf,
    name: Annotated[str, Query(pattern=NAME_PATTERN, examples=["ink.safetensors"])],
) -> LoraEntry:
    """Keep a LoRA file, sent as the body itself. A pickle, a damaged file and one that is no LoRA
    of FLUX.2 are refused by name, and a name that is taken is never written over.
    """
    return upload_entry(take_upload(settings, BodyStream(request), name=name), settings)


@router.delete("/{name}", status_code=204, responses=error_responses(404, 409))
def delete_lora(
    name: Annotated[str, Path(max_length=140)], database: DatabaseOf, settings: SettingsOf
) -> Response:
    """Remove an upload for good, unless a drawing that waits or runs is to take it."""
    with database.read() as session:
        delete_upload(session, settings, name)
    return Response(status_code=204)
