"""A bundle as a stream of bytes whose length is known before the first of them.

One chunk is in memory at a time and nothing is written to this machine's disk. Each file is hashed
again as it leaves: one that has changed since it was looked at breaks the stream off, and the
receiver would refuse it as well.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from backend.bundles.contents import Contents
from backend.bundles.manifest import MANIFEST

CHUNK_BYTES = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


class FileChanged(Exception):
    """A file is not the one any more that the manifest names."""


class BundleStream:
    """A bundle's bytes; `size_bytes` is how many they are."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        manifest = contents.manifest
        self._manifest_text = manifest.model_dump_json(indent=1).encode("utf-8")
        self._mtime = int(manifest.created_at.timestamp())
        members = [(MANIFEST, len(self._manifest_text))]
        members += [(path, file.size_bytes) for path, file in manifest.members()]
        self.size_bytes = len(_END) + sum(
            len(self._header(path, size)) + size + _padding(size) for path, size in members
        )

    def chunks(self) -> Iterator[bytes]:
        """The bytes, about a mebibyte at a time. Raises FileChanged, OSError."""
        yield self._header(MANIFEST, len(self._manifest_text)) + self._manifest_text
        yield bytes(_padding(len(self._manifest_text)))
        for path, file in self._contents.manifest.members():
            yield self._header(path, file.size_bytes)
            digest = hashlib.sha256()
            left = file.size_bytes
            with _opened(self._contents.sources[path]) as source:
                while chunk := source.read(min(CHUNK_BYTES, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        break
                    digest.update(chunk)
                    yield chunk
            if left or digest.hexdigest() != file.sha256:
                raise FileChanged(f"{path} was changed while it was being packed")
            yield bytes(_padding(file.size_bytes))
        yield _END

    def _header(self, path: str, size_bytes: int) -> bytes:
        entry = tarfile.TarInfo(path)
        entry.size = size_bytes
        entry.mtime = self._mtime
        return entry.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8")


def write_bundle(contents: Contents, file: BinaryIO) -> int:
    """Write the bundle; its size in bytes. Raises FileChanged, OSError."""
    stream = BundleStream(contents)
    for chunk in stream.chunks():
        file.write(chunk)
    return stream.size_bytes


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as opened:
        yield opened


def _padding(size_bytes: int) -> int:
    return -size_bytes % tarfile.BLOCKSIZE
