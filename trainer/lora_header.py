"""What can be known of a LoRA file without torch and without reading its numbers.

A safetensors file begins with its header: names, types, shapes, and free text that a program may
leave about the file. The door judges a job's LoRA by it. Every command that takes a LoRA refuses
here what is no safetensors file: a pickle, above all, which could run code while it loads.
"""

from __future__ import annotations

import errno
from pathlib import Path

from safetensors import SafetensorError, safe_open

from trainer.errors import BadLora
from trainer.original_layout import read_header
from trainer.variants import VARIANTS, Architecture, with_same_loras

METADATA_PREFIX = "darkroom."
# How files begin that torch.save writes: a zip archive, or a bare pickle of protocol 2 and up.
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def refuse_unreadable(path: Path) -> None:
    """Raises BadLora if there is no whole safetensors file at `path`."""
    try:
        if not _is_there(path):
            raise BadLora(
                f"There is no file {path}.",
                "Check the path.",
                code="lora_missing",
                params={"path": str(path)},
            )
        with path.open("rb") as file:
            start = file.read(4)
        if start.startswith(_PICKLE_STARTS):
            raise BadLora(
                f"{path} is a pickle, which can run code while it loads.",
                "Take the LoRA as .safetensors.",
                code="lora_is_pickle",
                params={"path": str(path)},
            )
        read_header(path)
    # A header is anybody's JSON: of other kinds than it should be, or nested too deep to be read.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadLora(
            f"{path} cannot be read: {error}.",
            "It is damaged or cut short: copy or download it again.",
            code="lora_damaged",
            params={"path": str(path)},
        ) from error


def _is_there(path: Path) -> bool:
    """Raises OSError where that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False  # no file can have the name
        raise


def read_metadata(path: Path) -> dict[str, str]:
    """Our own metadata of a LoRA file, keys without their prefix; empty for an unreadable file."""
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError):
        return {}
    return {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in metadata.items()
        if key.startswith(METADATA_PREFIX)
    }


def told_other_base(path: Path, architecture: Architecture) -> str | None:
    """The model that the file says it was trained on, where `architecture` does not take it.

    None of a file that says nothing.
    """
    told = read_metadata(path).get("architecture")
    if told is None or told in with_same_loras(architecture):
        return None
    return VARIANTS[Architecture(told)].label if told in set(Architecture) else told
