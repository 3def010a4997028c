"""Reference images over HTTP. They are read as pictures of the datasets folder are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from backend.bundles.body import BodyStream
from backend.dependencies import SettingsOf
from backend.errors import error_responses
from backend.loras.uploads import NAME_PATTERN
from backend.references.schemas import ReferenceEntry
from backend.references.uploads import take_reference

router = APIRouter(tags=["drawings"], prefix="/references")

_BINARY = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}


@router.post(
    "",
    status_code=201,
    responses=error_responses(409),
    openapi_extra={"requestBody": {"required": True, **_BINARY}},
)
def upload_reference(
    request: Request,
    settings: SettingsOf,
    name: Annotated[str, Query(pattern=NAME_PATTERN, examples=["cat.png"])],
) -> ReferenceEntry:
    """Keep a picture to be shown to the model, sent as the body itself. One of a name that is taken
    gets a number; the same picture again is the same file.
    """
    return take_reference(settings, BodyStream(request), name=name)
