"""The folders a job's names are looked up in, and the one way to join a name to one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer.errors import JobRefused

PROJECT_FOLDER = Path(__file__).parent.parent


@dataclass(frozen=True)
class Folders:
    """Roots for datasets, models and caches; caches and models never lie among jobs or datasets."""

    datasets: Path
    models: Path
    cache: Path

    @classmethod
    def from_environment(cls) -> Folders:
        """DARKROOM_*_DIR where set, else the project's own folders and the user's cache folder."""
        cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

        def folder(variable: str, default: Path) -> Path:
            value = os.environ.get(variable)
            return Path(value).expanduser().resolve() if value else default

        return cls(
            datasets=folder("DARKROOM_DATASETS_DIR", PROJECT_FOLDER / "datasets"),
            models=folder("DARKROOM_MODELS_DIR", cache_home / "darkroom" / "models"),
            cache=folder("DARKROOM_CACHE_DIR", cache_home / "darkroom" / "cache"),
        )


def expanded(name: str) -> Path:
    """The path with its `~` written out; as it stands for a user who is not there."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def located(root: Path, name: str, *, field: str | None = None) -> Path:
    """An absolute path, `~` for a home, or a name inside `root`. Raises JobRefused as `join_inside`
    does.
    """
    path = expanded(name)
    return path if path.is_absolute() else join_inside(root, name, field=field)


def join_inside(root: Path, name: str, *, field: str | None = None) -> Path:
    """`root`/`name` for a name that comes from outside. Raises JobRefused if it leads elsewhere.

    The name is relative, with forward slashes, without `..`, drive letters or NULs. A link that a
    person put into `root` may point anywhere: putting it there was their decision.
    """
    parts = PurePosixPath(name).parts
    bad = (
        not parts
        or name.startswith(("/", "~"))
        or "\\" in name
        or "\0" in name
        or ":" in name
        or any(part in ("..", ".") for part in name.split("/"))
    )
    if bad:
        raise JobRefused(
            f"{name!r} is not a name inside {root}.",
            "Give the name of a folder or file in it, without '..' or a leading '/'.",
            code="bad_path",
            field=field,
            params={"name": name},
        )
    return root.joinpath(*parts)
