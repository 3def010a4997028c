"""A bundle read as it arrives, by somebody who does not trust it.

The archive must be what its manifest says, in that order: plain files only (a link, a folder, a
sparse file or a device is refused), the very paths that the manifest's names make, the sizes it
names, the bytes it names. A manifest may be 64 MiB long and a header's own extension 64 KiB, so
that nothing large ever waits in memory; nothing is compressed, so nothing can unfold.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from pydantic import ValidationError

from backend.bundles.manifest import (
    FORMAT,
    JOB_FILE,
    MANIFEST,
    MAX_JOB_BYTES,
    MAX_MANIFEST_BYTES,
    Manifest,
    PackedFile,
)
from backend.errors import Unusable
from backend.uploads import Readable

CHUNK_BYTES = 1 << 20
_MAX_EXTENSION_BYTES = 64 << 10
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_CURE = "Export the job again, or copy the file again."


class BadBundle(Unusable):
    """A bundle that is damaged, or was made to do harm."""

    def __init__(self, what: str, *, code: str = "bundle_damaged", hint: str = _CURE) -> None:
        super().__init__(code, f"The bundle cannot be imported: {what}.", hint)


class _Entry(tarfile.TarInfo):
    """A header whose extension, which is read into memory, has a bounded size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> tarfile.TarInfo:
        entry = super().frombuf(buf, encoding, errors)  # pyright: ignore[reportArgumentType]
        if entry.type in _EXTENSIONS and entry.size > _MAX_EXTENSION_BYTES:
            raise BadBundle(f"a header of {entry.size} bytes is no header", code="bundle_unsafe")
        return entry


class BundleReader:
    """Reads a bundle once, from front to end."""

    def __init__(self, stream: Readable) -> None:
        """Raises BadBundle."""
        try:
            self._archive = tarfile.open(  # noqa: SIM115 -- holds nothing of its own
                fileobj=cast(Any, stream), mode="r|", tarinfo=_Entry, encoding="utf-8"
            )
        except tarfile.TarError as error:
            raise BadBundle(
                "it is no tar archive",
                code="no_bundle",
                hint="Give a file that `darkroom export` or the page has made.",
            ) from error
        self.manifest = self._read_manifest()

    def files(self) -> Iterator[tuple[str, PackedFile, Iterator[bytes]]]:
        """(path, file, its bytes) for each; the bytes must be taken before the next is asked for.

        Raises BadBundle when they are taken, if they are not what the manifest says.
        """
        for path, file in self.manifest.members():
            opened = self._next(path, file.size_bytes)
            yield path, file, _checked(opened, path, file)
        if self._entry() is not None:
            raise BadBundle("there is more in it than it says", code="bundle_unsafe")

    def _read_manifest(self) -> Manifest:
        entry = self._entry()
        if entry is None or entry.name != MANIFEST:
            raise BadBundle(
                f"it does not begin with {MANIFEST}",
                code="no_bundle",
                hint="Give a file that `darkroom export` or the page has made.",
            )
        if entry.size > MAX_MANIFEST_BYTES:
            raise BadBundle(f"its list of files has {entry.size} bytes", code="bundle_unsafe")
        text = b"".join(_bytes_of(self._opened(entry), MANIFEST))
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            raise _bad_manifest(text, error) from error
        if manifest.format != FORMAT:
            raise _other_format(manifest.format, manifest.darkroom_version)
        _refuse_absurd(manifest)
        return manifest

    def _next(self, path: str, size_bytes: int) -> IO[bytes]:
        entry = self._entry()
        if entry is None:
            raise BadBundle(f"it ends before {path}")
        if entry.name != path:
            raise BadBundle(f"{entry.name!r} stands where {path} should", code="bundle_unsafe")
        if entry.size != size_bytes:
            raise BadBundle(f"{path} has {entry.size} bytes in place of {size_bytes}")
        return self._opened(entry)

    def _entry(self) -> tarfile.TarInfo | None:
        try:
            entry = self._archive.next()
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise BadBundle("it is cut off or damaged") from error
        # tarfile would keep every header until the end.
        cast(Any, self._archive).members.clear()
        if entry is None:
            return None
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
            raise BadBundle(f"{entry.name!r} is not a plain file", code="bundle_unsafe")
        return entry

    def _opened(self, entry: tarfile.TarInfo) -> IO[bytes]:
        opened = self._archive.extractfile(entry)
        assert opened is not None, "it is a plain file"
        return opened


def _checked(opened: IO[bytes], path: str, file: PackedFile) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in _bytes_of(opened, path):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != file.sha256:
        raise BadBundle(f"the bytes of {path} are not those that were packed")


def _bytes_of(opened: IO[bytes], path: str) -> Iterator[bytes]:
    try:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
    except (tarfile.TarError, EOFError) as error:
        raise BadBundle(f"it is cut off in {path}") from error


def _refuse_absurd(manifest: Manifest) -> None:
    paths = [path for path, _ in manifest.members()]
    if len(paths) != len(set(paths)):
        raise BadBundle("it names a file twice", code="bundle_unsafe")
    if manifest.job.name != JOB_FILE or manifest.job.size_bytes > MAX_JOB_BYTES:
        raise BadBundle(f"its job file has {manifest.job.size_bytes} bytes", code="bundle_unsafe")
    if (manifest.step is None) != (not manifest.checkpoint):
        raise BadBundle(f"step {manifest.step} and its checkpoint do not agree")


def _bad_manifest(text: bytes, error: ValidationError) -> BadBundle:
    try:
        said = json.loads(text)
        if isinstance(said.get("format"), int) and said["format"] != FORMAT:
            return _other_format(said["format"], str(said.get("darkroom_version"))[:64])
    except (ValueError, AttributeError, RecursionError):
        pass
    details = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in details["loc"])
    return BadBundle(f"{where or MANIFEST}: {details['msg']}")


def _other_format(number: int, version: str) -> BadBundle:
    return BadBundle(
        f"its format is {number}, made by Darkroom {version}, and this one reads {FORMAT}",
        code="bundle_format",
        hint="Bring this Darkroom to the version that made it.",
    )
