"""Reference images that people bring: into `.references` of the datasets folder, whole.

A picture that is there already under its name is not written twice; another one of that name gets a
number, so that what an earlier drawing was shown stays what it was. No dataset is called like that:
hidden folders are none.
"""

from __future__ import annotations

import filecmp
import os
from pathlib import Path
from urllib.parse import quote

from backend.errors import Unusable
from backend.references.schemas import ReferenceEntry
from backend.settings import Settings
from backend.uploads import Readable, arriving, keep
from trainer.companions import reference_fault
from trainer.pictures import PICTURE_SUFFIXES, UnreadablePicture, read_picture

FOLDER = ".references"
# A photograph of 50 megapixels as PNG has 100 MB, and is shown to the model at one megapixel.
MAX_UPLOAD_BYTES = 64 << 20
_PREVIEW_SIDE_PX = 256


def take_reference(settings: Settings, source: Readable, *, name: str) -> ReferenceEntry:
    """Write what arrives, as `name` or that with a number. Raises Unusable for what is no picture
    that the model can be shown, Conflict where the disk does not take it; then nothing is left.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise _refusal(name, f"{suffix or 'a name without an ending'} is no kind of picture here")
    folder = settings.datasets_dir / FOLDER
    with arriving(folder, name=name) as temporary:
        _write(temporary, source, name=name)
        width, height = _size_of(temporary, name=name)
        file = keep(temporary, lambda: _free_or_same(folder / name, temporary))
    return ReferenceEntry(
        name=f"{FOLDER}/{file.name}",
        width=width,
        height=height,
        url=f"/api/datasets/{FOLDER}/pictures/{quote(file.name)}?side={_PREVIEW_SIDE_PX}",
    )


def _write(file: Path, source: Readable, *, name: str) -> None:
    num_bytes = 0
    with file.open("xb") as out:
        while chunk := source.read():
            num_bytes += len(chunk)
            if num_bytes > MAX_UPLOAD_BYTES:
                raise Unusable(
                    "picture_too_large",
                    f"{name} is larger than {MAX_UPLOAD_BYTES >> 20} MiB.",
                    "Scale it down: the model is shown a megapixel of it.",
                    field="name",
                    params={"name": name},
                )
            out.write(chunk)


def _size_of(file: Path, *, name: str) -> tuple[int, int]:
    """(width, height) in px, of a picture that can be read to its end and shown to the model."""
    try:
        picture = read_picture(file)
    except UnreadablePicture as error:
        raise _refusal(name, str(error)) from None
    fault = reference_fault(*picture.size)
    if fault:
        raise _refusal(name, fault)
    return picture.size


def _refusal(name: str, reason: str) -> Unusable:
    return Unusable(
        "control_image_unusable",
        f"The reference image {name} cannot be used: {reason}.",
        "Bring a PNG, JPEG or WebP of usual proportions.",
        field="name",
        params={"name": name, "reason": reason},
    )


def _free_or_same(wanted: Path, content: Path) -> Path:
    """`wanted`, or with the lowest number under which nothing else lies."""
    file, number = wanted, 1
    while os.path.lexists(file) and not filecmp.cmp(file, content, shallow=False):
        number += 1
        file = wanted.with_stem(f"{wanted.stem}-{number}")
    return file
