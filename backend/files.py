"""The one way from a name in a request or a row to a file that is sent."""

from __future__ import annotations

from pathlib import Path

from backend.errors import NotFound
from trainer.errors import JobRefused
from trainer.folders import join_inside


def existing_file(root: Path, name: str) -> Path:
    """The file `name` inside `root`. Raises NotFound if it leads elsewhere or is no file."""
    missing = NotFound("no_such_file", f"There is no file {name!r}.", "It may have been removed.")
    try:
        path = join_inside(root, name)
    except JobRefused:
        raise missing from None
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a name too long for the file system
        is_file = False
    if not is_file:
        raise missing
    return path
