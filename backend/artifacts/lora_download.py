"""A LoRA as a download, in the names that the program it is for reads."""

from __future__ import annotations

from pathlib import Path

from fastapi.responses import FileResponse, Response, StreamingResponse

from backend.errors import Unusable
from trainer.errors import BadLora
from trainer.lora_keys import KeyFormat
from trainer.lora_renaming import key_format_of, renamed_lora

MEDIA_TYPE = "application/octet-stream"


def lora_download(path: Path, name: str, key_format: KeyFormat | None) -> Response:
    """The file as it is, or renamed while it is sent. Raises Unusable for what has no such names.

    name: for the download of the file as it is.
    """
    sent_as = download_name(path, name, key_format)
    if key_format is None or sent_as == name:
        return FileResponse(path, media_type=MEDIA_TYPE, filename=name)
    try:
        renamed = renamed_lora(path, key_format)
    except BadLora as error:
        raise _unusable(error) from error
    headers = {
        "Content-Disposition": f'attachment; filename="{sent_as}"',
        "Content-Length": str(renamed.size_bytes),
    }
    return StreamingResponse(renamed.parts, media_type=MEDIA_TYPE, headers=headers)


def download_name(path: Path, name: str, key_format: KeyFormat | None) -> str:
    """`name`, with the format in it where the file's own names are others. Raises Unusable."""
    try:
        if key_format is None or key_format_of(path) == key_format:
            return name
    except BadLora as error:
        raise _unusable(error) from error
    return f"{name.removesuffix('.safetensors')}-{key_format}.safetensors"


def _unusable(error: BadLora) -> Unusable:
    return Unusable(error.code, error.message, problems=error.problems)
