"""Pictures as one zip archive, written while it is sent.

    step-000250/02-a-red-circle-seed42.png      prompt 2 of step 250
    superseded-0003/step-000250/02-...          what run 3 set aside

Pictures are compressed already, so they are stored as they are. zipfile wants to go back and fill
in a member's checksum, or else leaves it behind the data, where some unpackers do not look. So one
member at a time is written into memory, complete, and sent from there: memory holds one picture,
however many there are.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from backend.artifacts.schemas import SampleEntry
from backend.db.models import Sample

MISSING = "missing.txt"
_SLUG_LENGTH = 40
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # what a zip archive can say at least


def picture_name(sample: Sample | SampleEntry) -> str:
    """The picture's place in an archive, readable to people."""
    slug = re.sub(r"[^\w]+", "-", sample.prompt.lower()).strip("-")[:_SLUG_LENGTH].strip("-")
    words = [f"{sample.prompt_index + 1:02d}", slug, f"seed{sample.seed}"]
    place = f"step-{sample.step:06d}/{'-'.join(word for word in words if word)}.png"
    return (
        place if sample.superseded_by is None else f"superseded-{sample.superseded_by:04d}/{place}"
    )


def stored_zip(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """The archive of (name, file), part by part; files that are gone are named in missing.txt."""
    sent = _Sent()
    used: set[str] = set()
    missing: list[str] = []
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as archive:  # pyright: ignore[reportArgumentType]
        for name, file in files:
            try:
                data = file.read_bytes()
                member = zipfile.ZipInfo.from_file(file, strict_timestamps=False)
            except OSError:
                missing.append(f"{name} ({file.name})")
                continue
            member.filename = _unused(name, used)
            archive.writestr(member, data)
            yield sent.take()
        if missing:
            text = "These were removed meanwhile:\n" + "".join(f"{name}\n" for name in missing)
            archive.writestr(zipfile.ZipInfo(MISSING, _EARLIEST), text)
    yield sent.take()


def _unused(name: str, used: set[str]) -> str:
    stem, number = name.removesuffix(".png"), 1
    while name in used:
        number += 1
        name = f"{stem}-{number}.png"
    used.add(name)
    return name


class _Sent(io.BytesIO):
    """A file of which only the part that was not taken yet is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def seek(self, position: int, whence: int = 0) -> int:
        return super().seek(position - self._taken if whence == 0 else position, whence)

    def take(self) -> bytes:
        """What was written since the last time."""
        data = self.getvalue()
        self._taken += len(data)
        super().seek(0)
        self.truncate(0)
        return data
