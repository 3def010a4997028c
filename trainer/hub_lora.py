"""A LoRA file on the Hugging Face hub, as a drawing names it: hub:owner/name/file.safetensors.

    hub:someone/ink-style/ink.safetensors
    hub:someone/ink-style@v2/klein/ink.safetensors        a revision, a folder in the repository

It is downloaded once into the cache that all programs with huggingface_hub share, and used from
there offline. What can go wrong is what can go wrong with a model (see hub.py), under the same
codes. Imports no torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.errors import BadLora, BadModel, JobRefused, Problem
from trainer.hub import HubAccess, HubRepository, cached_snapshot, download_file, file_problems

PREFIX = "hub:"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_FILE_PART = (
    r"(?!\.{1,2}(?:/|$))[^/\\\x00-\x1f]+"  # people's names hold spaces, brackets, any script
)
_NAME = re.compile(
    rf"hub:(?P<repo>{_PART}/{_PART})(?:@(?P<revision>{_PART}))?"
    rf"/(?P<file>(?:{_FILE_PART}/)*{_FILE_PART})"
)
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")
_CURES = {
    "model_offline": "Check the connection and draw again, or download the file and upload it.",
    "model_not_on_hub": "Check the name: owner/name and the file's path, as on the hub's page.",
    "model_revision_missing": "The repository's page lists its branches, tags and commits.",
}


@dataclass(frozen=True)
class HubLora:
    """place: in the drawing's list, from 0."""

    repository: HubRepository
    file: str
    place: int

    @property
    def field(self) -> str:
        return f"loras.{self.place}"

    def cached(self) -> Path | None:
        """The file on this machine; None before its download."""
        snapshot = cached_snapshot(self.repository)
        file = None if snapshot is None else snapshot / self.file
        # False of a name that is too long for a file.
        return file if file is not None and os.path.isfile(file) else None


def hub_lora(name: str, *, place: int) -> HubLora:
    """What a name that begins with `hub:` says. Raises JobRefused if it is none."""
    match = _NAME.fullmatch(name)
    if match is not None and match["file"].lower().endswith(_PICKLE_SUFFIXES):
        raise JobRefused(
            f"{match['file']} is a pickle, which can run code while it loads.",
            "Take the LoRA as .safetensors.",
            code="lora_is_pickle",
            field=f"loras.{place}",
            params={"path": name},
        )
    if match is None or not match["file"].endswith(".safetensors"):
        raise JobRefused(
            f"{name!r} names no file on the hub.",
            "Write hub:owner/name/file.safetensors, or hub:owner/name@revision/file.safetensors.",
            code="bad_hub_name",
            field=f"loras.{place}",
            params={"value": name},
        )
    repository = HubRepository(match["repo"], match["revision"] or "")
    return HubLora(repository, match["file"], place)


def hub_lora_problems(lora: HubLora) -> list[Problem]:
    """What keeps it from being downloaded; if nothing, a warning of its size. Asks the hub."""
    access = HubAccess.from_environment()
    return [_of_lora(one, lora) for one in file_problems(lora.repository, lora.file, access=access)]


def obtain_lora(
    lora: HubLora,
    *,
    progress: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> Path:
    """Download the file if it is not here; where it lies. progress: as in `hub.download`.

    Raises BadLora, DiskFull, StopRequested.
    """
    try:
        return download_file(
            lora.repository,
            lora.file,
            access=HubAccess.from_environment(),
            progress=progress,
            stop_requested=stop_requested,
        )
    except BadModel as error:
        raise BadLora.from_problems([_of_lora(one, lora) for one in error.problems]) from error


def _of_lora(problem: Problem, lora: HubLora) -> Problem:
    """The same at the drawing's field, with a cure for a file in place of a model's."""
    return replace(problem, field=lora.field, hint=_CURES.get(problem.code, problem.hint))
