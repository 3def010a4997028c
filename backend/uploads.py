"""A file that somebody brings: whole and judged under a temporary name, then under its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from backend.errors import Conflict
from trainer.durable_write import TEMPORARY_PREFIX, flush_file, flush_folder, make_folder

# A file gets its name while no other does, so that two of one name cannot both find it free.
_naming = threading.Lock()


class Readable(Protocol):
    """Where bytes come from: `read` gives some, none at the end."""

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes."""
        ...


@contextmanager
def arriving(folder: Path, *, name: str) -> Iterator[Path]:
    """A file to write what is called `name` into. It is gone afterwards, unless `keep` named it.

    Raises Conflict where the disk does not take it.
    """
    temporary = folder / f"{TEMPORARY_PREFIX}{os.urandom(16).hex()}{Path(name).suffix.lower()}"
    try:
        make_folder(folder)
        yield temporary
    except OSError as error:
        raise Conflict(
            "upload_not_kept",
            f"{name} could not be written to {folder}: {error.strerror or error}.",
            "Make room there, or give the server the right to write there.",
            params={"name": name},
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def keep(temporary: Path, choose: Callable[[], Path]) -> Path:
    """Give what arrived the name that `choose` finds free in its folder, durably; the file."""
    flush_file(temporary)
    with _naming:
        file = choose()
        os.replace(temporary, file)
    flush_folder(file.parent)
    return file
