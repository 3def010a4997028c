"""LoRA files that people bring: into `loras/uploads` of the models folder, whole, and out again.

What arrives is written under a temporary name, judged by its header, and gets its own name only
then. Nothing that is there already is written over.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import Job
from backend.errors import Conflict, NotFound, Unusable
from backend.jobs.status import ACTIVE, JobStatus
from backend.jobs.work import DRAWING
from backend.settings import Settings
from backend.uploads import Readable, arriving, keep
from trainer.errors import BadLora, Problem
from trainer.lora_fit import changed_weights
from trainer.lora_header import refuse_unreadable

LORAS, UPLOADS = "loras", "uploads"
SUFFIX = ".safetensors"
# Rank 256 on every layer of FLUX.2 dev in FP32 is 6.4 GB.
MAX_UPLOAD_BYTES = 8 << 30
# As users' files are called, without what a path or a shell could take for something else.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,119}$"
_START_BYTES = 16


def uploads_folder(settings: Settings) -> Path:
    """Where uploads lie."""
    return settings.models_dir / LORAS / UPLOADS


def take_upload(settings: Settings, source: Readable, *, name: str) -> Path:
    """Write what arrives as `name`; the file. Raises Unusable, or Conflict for a name that is taken
    or a disk that does not take it; then nothing is left behind.
    """
    file = uploads_folder(settings) / with_suffix(name)
    _free(file)  # before a gigabyte is sent in vain
    with arriving(file.parent, name=file.name) as temporary:
        _write(temporary, source, name=file.name)
        _refuse_no_lora(temporary, name=file.name)
        return keep(temporary, lambda: _free(file))


def delete_upload(session: Session, settings: Settings, name: str) -> None:
    """Remove an upload for good. Raises NotFound, or Conflict while a drawing is to take it."""
    file = uploads_folder(settings) / name
    if not re.match(NAME_PATTERN, name) or not file.is_file():
        raise NotFound(
            "no_such_upload",
            f"There is no upload {name!r}.",
            "Only uploads are deleted here; list the LoRAs again.",
            params={"name": name},
        )
    inner = file.relative_to(settings.models_dir).as_posix()
    pending = select(Job).where(Job.kind == DRAWING, Job.status.in_({JobStatus.QUEUED} | ACTIVE))
    for drawing in session.scalars(pending):
        if {inner, str(file)} & set(drawing.config["loras"]):
            raise Conflict(
                "lora_in_use",
                f"{drawing.training_name} is to be drawn with {name}.",
                "Wait until it has ended, or stop it.",
                params={"job_id": drawing.id, "name": name},
            )
    file.unlink()


def with_suffix(name: str) -> str:
    """The file's name for what somebody called it."""
    return name if name.endswith(SUFFIX) else f"{name}{SUFFIX}"


def _write(file: Path, source: Readable, *, name: str) -> None:
    """The bytes as they come. What is a pickle at its first bytes is refused there."""
    num_bytes = 0
    with file.open("xb") as out:
        while chunk := source.read():
            num_bytes += len(chunk)
            if num_bytes > MAX_UPLOAD_BYTES:
                raise Unusable(
                    "lora_too_large",
                    f"{name} is larger than {MAX_UPLOAD_BYTES >> 30} GiB, which no LoRA is.",
                    "Upload a LoRA; a whole model belongs into the models folder.",
                    params={"name": name},
                )
            out.write(chunk)
            if num_bytes - len(chunk) < _START_BYTES:
                out.flush()
                _refuse_pickle(file, name=name)


def _refuse_pickle(file: Path, *, name: str) -> None:
    try:
        refuse_unreadable(file)
    except BadLora as error:
        if error.problems[0].code == "lora_is_pickle":
            raise _refusal(error, file, name) from None


def _refuse_no_lora(file: Path, *, name: str) -> None:
    try:
        changed_weights(file)
    except BadLora as error:
        raise _refusal(error, file, name) from None


def _refusal(error: BadLora, file: Path, name: str) -> Unusable:
    """The same, of the file as its sender knows it."""
    problems = [
        Problem(
            problem.code,
            problem.message.replace(str(file), name),
            problem.hint,
            "name",
            params={**problem.params, "path": name},
        )
        for problem in error.problems
    ]
    return Unusable(problems[0].code, problems[0].message, problems=problems)


def _free(file: Path) -> Path:
    """The file, where nothing lies."""
    if os.path.lexists(file):
        raise Conflict(
            "lora_name_taken",
            f"There is an upload {file.name} already.",
            "Give it another name, or delete that one first.",
            field="name",
            params={"name": file.name},
        )
    return file
