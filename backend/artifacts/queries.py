"""Reading samples and checkpoints: rows in, response models and files out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from backend.artifacts.addresses import checkpoint_url, sample_url, thumbnail_url
from backend.artifacts.marks import JobMarks, read_marks, write_marks
from backend.artifacts.picture_archive import picture_name
from backend.artifacts.schemas import CheckpointEntry, SampleEntry
from backend.db.models import Checkpoint, Sample
from backend.errors import NotFound
from backend.files import existing_file
from backend.jobs.feed import announce
from backend.jobs.queries import find_job
from backend.lists import Page
from backend.settings import Settings
from trainer.folders import join_inside
from trainer.job_folder import JobFolder


def list_samples(
    session: Session,
    settings: Settings,
    job_id: int,
    *,
    superseded: bool,
    limit: int,
    after: str | None,
) -> Page[SampleEntry]:
    """Pictures by step, then prompt, with or without what was set aside. Raises NotFound."""
    job = find_job(session, job_id)
    place = (Sample.step, Sample.prompt_index, Sample.id)
    query = select(Sample).where(Sample.job_id == job_id).order_by(*place)
    if not superseded:
        query = query.where(Sample.superseded_by.is_(None))
    if after is not None:
        step, index, sample_id = (int(part) for part in f"{after}-0-0".split("-")[:3])
        query = query.where(tuple_(*place) > (step, index, sample_id))
    rows = list(session.scalars(query.limit(limit + 1)))
    page = rows[:limit]
    last = page[-1] if len(rows) > limit else None
    more = None if last is None else f"{last.step}-{last.prompt_index}-{last.id}"
    marks = read_marks(JobFolder(settings.output_dir, job.training_name))
    return Page(items=[sample_entry(row, marks) for row in page], next=more)


def list_checkpoints(
    session: Session, settings: Settings, job_id: int, *, limit: int, after: str | None
) -> Page[CheckpointEntry]:
    """LoRA files by step, the end result behind its step's checkpoint. Raises NotFound."""
    job = find_job(session, job_id)
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    query = query.order_by(Checkpoint.step, Checkpoint.is_final)
    if after is not None:
        query = query.where(tuple_(Checkpoint.step, Checkpoint.is_final) > _pair(after))
    rows = list(session.scalars(query.limit(limit + 1)))
    page = rows[:limit]
    more = f"{page[-1].step}-{int(page[-1].is_final)}" if len(rows) > limit else None
    marks = read_marks(JobFolder(settings.output_dir, job.training_name))
    return Page(items=[checkpoint_entry(row, marks) for row in page], next=more)


def mark_checkpoint(
    session: Session,
    settings: Settings,
    job_id: int,
    checkpoint_id: int,
    changes: Mapping[str, Any],
) -> CheckpointEntry:
    """Pin, star or note a checkpoint or the end result, also while the job runs.

    The session is a writer's. Raises NotFound or Conflict.
    """
    job = find_job(session, job_id)
    row = find_checkpoint(session, job_id, checkpoint_id)
    folder = JobFolder(settings.output_dir, job.training_name)
    write_marks(folder, row, changes)
    entry = checkpoint_entry(row, read_marks(folder))
    announce(session, "checkpoint", job_id, {"job_id": job_id, **entry.model_dump(mode="json")})
    return entry


def mark_sample(
    session: Session, settings: Settings, job_id: int, sample_id: int, changes: Mapping[str, Any]
) -> SampleEntry:
    """Star or note a picture. The session is a writer's. Raises NotFound or Conflict."""
    job = find_job(session, job_id)
    row = find_sample(session, job_id, sample_id)
    folder = JobFolder(settings.output_dir, job.training_name)
    write_marks(folder, row, changes)
    entry = sample_entry(row, read_marks(folder))
    announce(session, "sample", job_id, {"job_id": job_id, **entry.model_dump(mode="json")})
    return entry


def _pair(after: str) -> tuple[int, int]:
    step, _, second = after.partition("-")
    return int(step), int(second or 0)


def sample_entry(row: Sample, marks: JobMarks) -> SampleEntry:
    """A picture's row in the wire form."""
    own = marks.of(row)
    return SampleEntry(
        id=row.id,
        step=row.step,
        prompt_index=row.prompt_index,
        prompt=row.prompt,
        seed=row.seed,
        width=row.width,
        height=row.height,
        guidance_scale=row.guidance_scale,
        sample_steps=row.sample_steps,
        lora_strength=row.lora_strength,
        negative_prompt=row.negative_prompt,
        control_images=row.control_images or [],
        file=row.path,
        superseded_by=row.superseded_by,
        thumbnail_url=thumbnail_url(row.job_id, row.id, row.path, row.created_at),
        is_starred=own.is_starred,
        note=own.note,
        url=sample_url(row.job_id, row.id, row.path, row.created_at),
    )


def checkpoint_entry(row: Checkpoint, marks: JobMarks) -> CheckpointEntry:
    """A checkpoint's row in the wire form."""
    own = marks.of(row)
    return CheckpointEntry(
        id=row.id,
        step=row.step,
        is_final=row.is_final,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        loss=row.loss,
        preservation_loss=row.preservation_loss,
        num_layers=row.num_layers,
        lora_norm=row.lora_norm,
        is_best=row.is_best,
        is_pinned=own.is_pinned,
        is_starred=own.is_starred,
        note=own.note,
        url=checkpoint_url(row.job_id, row.id),
    )


def sample_file(
    session: Session, settings: Settings, job_id: int, sample_id: int
) -> tuple[Path, str]:
    """The PNG of a sample and its name for the download. Raises NotFound."""
    job = find_job(session, job_id)
    row = find_sample(session, job_id, sample_id)
    folder = JobFolder(settings.output_dir, job.training_name)
    name = picture_name(row).replace("/", "-")
    return existing_file(folder.path, row.path), f"{job.training_name}-{name}"


def pictures(
    session: Session, settings: Settings, job_id: int, ids: str | None
) -> tuple[str, list[tuple[str, Path]]]:
    """The training's name, and (name in the archive, file) of pictures: those of `ids`, as in
    3,7-12, or all. Raises NotFound if there is none.
    """
    job = find_job(session, job_id)
    query = select(Sample).where(Sample.job_id == job_id)
    query = query.order_by(Sample.step, Sample.prompt_index, Sample.id)
    if ids is not None:
        query = query.where(Sample.id.in_(_ids_within(_spans(ids))))
    rows = list(session.scalars(query))
    if not rows:
        raise NotFound(
            "no_such_samples",
            f"Job {job_id} has no samples{'' if ids is None else f' among {ids[:80]}'}.",
            "List the samples again.",
        )
    folder = JobFolder(settings.output_dir, job.training_name).path
    return job.training_name, [(picture_name(row), join_inside(folder, row.path)) for row in rows]


def _spans(ids: str) -> list[tuple[int, int]]:
    parted = [span.partition("-") for span in ids.split(",")]
    return [(int(first), int(last or first)) for first, _, last in parted]


def _ids_within(spans: Sequence[tuple[int, int]]) -> Select[int]:
    """The ids of samples within any of the spans (first, last).

    The spans are one parameter: SQLite takes no expression of a thousand conditions.
    """
    span = func.json_each(json.dumps(spans)).table_valued("value").alias("span")
    first, last = (func.json_extract(span.c.value, f"$[{i}]") for i in range(2))
    within = aliased(Sample)
    return select(within.id).select_from(span).join(within, within.id.between(first, last))


def checkpoint_file(
    session: Session, settings: Settings, job_id: int, checkpoint_id: int
) -> tuple[Path, str]:
    """The LoRA of a checkpoint and its name for the download. Raises NotFound."""
    job = find_job(session, job_id)
    row = find_checkpoint(session, job_id, checkpoint_id)
    name = job.training_name if row.is_final else f"{job.training_name}-step-{row.step:06d}"
    folder = JobFolder(settings.output_dir, job.training_name).path
    return existing_file(folder, row.path), f"{name}.safetensors"


def find_sample(session: Session, job_id: int, sample_id: int) -> Sample:
    """The row of a picture of this job. Raises NotFound."""
    row = session.get(Sample, sample_id)
    if row is None or row.job_id != job_id:
        raise NotFound(
            "no_such_sample",
            f"Job {job_id} has no sample {sample_id}.",
            "It may have been drawn anew or set aside by a resume; list the samples again.",
        )
    return row


def find_checkpoint(session: Session, job_id: int, checkpoint_id: int) -> Checkpoint:
    """The row of a checkpoint of this job. Raises NotFound."""
    row = session.get(Checkpoint, checkpoint_id)
    if row is None or row.job_id != job_id:
        raise NotFound(
            "no_such_checkpoint",
            f"Job {job_id} has no checkpoint {checkpoint_id}.",
            "Only the newest are kept; list the checkpoints again.",
        )
    return row
