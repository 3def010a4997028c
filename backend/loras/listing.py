"""Every LoRA file that can be drawn with: in the models folder, and of all jobs.

A job's files are known from their rows and fit what the job trained; only that they are still there
is looked up. Others are judged by their headers, which takes a millisecond each, so what has not
changed since is remembered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import Checkpoint, Job
from backend.db.values import is_storable
from backend.jobs.queries import architecture_of
from backend.lists import Page
from backend.loras.labels import lora_label
from backend.loras.schemas import LoraEntry
from backend.loras.uploads import LORAS, UPLOADS
from backend.settings import Settings
from trainer.durable_write import TEMPORARY_PREFIX
from trainer.errors import BadLora
from trainer.lora_fit import changed_weights, fitting_architectures
from trainer.lora_header import read_metadata
from trainer.variants import Architecture, with_same_loras

_REMEMBERED = 2_000


def list_loras(
    session: Session,
    settings: Settings,
    *,
    search: str,
    job_id: int | None,
    limit: int,
    after: int | None,
) -> Page[LoraEntry]:
    """Files of the models folder first, then those of jobs, the newest first.

    search: in the label. job_id: of this job only. after: the `next` of the page before.
    """
    wanted = search.strip().lower()
    found: list[LoraEntry] = []
    if after is None and job_id is None:
        files = sorted((settings.models_dir / LORAS).rglob("*.safetensors"))
        found = [e for file in files if (e := _of_folder(file, settings)) is not None]
        found = [entry for entry in found if wanted in entry.label.lower()]
    query = select(Checkpoint, Job).join(Job, Job.id == Checkpoint.job_id)
    query = query.order_by(Checkpoint.id.desc()).limit(limit + 1)
    if job_id is not None:
        query = query.where(Checkpoint.job_id == job_id)
    if wanted:
        query = query.where(Job.training_name.icontains(wanted, autoescape=True))
    if after is not None:
        query = query.where(Checkpoint.id < after)
    rows = [(checkpoint, job) for checkpoint, job in session.execute(query)]
    page = rows[:limit]
    more = str(page[-1][0].id) if len(rows) > limit else None
    of_jobs = [_of_job(checkpoint, job, settings) for checkpoint, job in page]
    return Page(items=[*found, *(entry for entry in of_jobs if entry is not None)], next=more)


def upload_entry(file: Path, settings: Settings) -> LoraEntry:
    """The entry of a file that lies among the uploads."""
    entry = _of_folder(file, settings)
    assert entry is not None, f"{file} was written just now"
    return entry


def _of_folder(file: Path, settings: Settings) -> LoraEntry | None:
    """None for a file that went away, is being written, or has a name that no answer could hold."""
    if file.name.startswith(TEMPORARY_PREFIX) or not is_storable(str(file)):
        return None
    try:
        about = os.stat(file)
    except OSError:
        return None
    fits, problem = _judged(file, about.st_mtime_ns, about.st_size)
    name = file.relative_to(settings.models_dir).as_posix()
    is_upload = file.parent == settings.models_dir / LORAS / UPLOADS
    return LoraEntry(
        file=name,
        label=lora_label(name, settings),
        source="upload" if is_upload else "folder",
        name=file.name,
        job_id=None,
        step=None,
        is_final=False,
        fits=list(fits),
        size_bytes=about.st_size,
        created_at=datetime.fromtimestamp(about.st_mtime, UTC),
        problem=problem,
    )


@lru_cache(maxsize=_REMEMBERED)
def _judged(
    file: Path, _changed_at: int, _size_bytes: int
) -> tuple[Sequence[Architecture], str | None]:
    """The models that it fits, or what is wrong with it. The other two say that it is the same."""
    try:
        fits = fitting_architectures(changed_weights(file))
    except BadLora as error:
        return (), error.message
    told = read_metadata(file).get("architecture")
    if told in set(Architecture):
        fits = [one for one in fits if one in with_same_loras(Architecture(told))]
    if not fits:
        return (), f"{file.name} fits no model that Darkroom knows."
    return fits, None


def _of_job(checkpoint: Checkpoint, job: Job, settings: Settings) -> LoraEntry | None:
    file = settings.output_dir / job.training_name / checkpoint.path
    if not file.is_file():
        return None
    architecture = architecture_of(job.config)
    return LoraEntry(
        file=str(file),
        label=lora_label(str(file), settings),
        source="job",
        name=file.name,
        job_id=job.id,
        step=checkpoint.step,
        is_final=checkpoint.is_final,
        fits=[] if architecture is None else with_same_loras(Architecture(architecture)),
        size_bytes=checkpoint.size_bytes,
        created_at=checkpoint.created_at,
        problem=None,
    )
