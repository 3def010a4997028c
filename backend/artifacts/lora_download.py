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

    name: for the download; a file in other names than its own has them in its name.
    """
    try:
        if key_format is None or key_format_of(path) == key_format:
            return FileResponse(path, media_type=MEDIA_TYPE, filename=name)
        renamed = renamed_lora(path, key_format)
    except BadLora as error:
        raise Unusable(error.code, error.message, problems=error.problems) from error
    stem = name.removesuffix(".safetensors")
    headers = {
        "Content-Disposition": f'attachment; filename="{stem}-{key_format}.safetensors"',
        "Content-Length": str(renamed.size_bytes),
    }
    return StreamingResponse(renamed.parts, media_type=MEDIA_TYPE, headers=headers)
