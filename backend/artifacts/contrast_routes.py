"""What a job's newest samples measure over HTTP, beside what it is to be held against: their fine
contrast, and how far they are from the base model's pictures.
"""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.artifacts.base_distance import distance_from_base
from backend.artifacts.fine_contrast import COMPARED_SIDE_PX, fine_contrast_of, of_datasets
from backend.db.models import Sample
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.jobs.queries import find_job, parsed
from trainer.captions import contains_trigger
from trainer.folders import join_inside
from trainer.job_folder import JobFolder

router = APIRouter(tags=["artifacts"], prefix="/jobs/{job_id}")


class ComparedSample(BaseModel):
    """A sample beside the base model's picture of the same prompt, seed and size."""

    step: int
    prompt_index: int
    sample: float = Field(description="Root mean square of pixels less their surroundings, 0 to 1.")
    base: float
    distance_from_base: float = Field(
        description="Mean absolute difference of their pixels, 0 to 1 (black to white)."
    )
    with_trigger: bool | None = Field(
        description="Whether its prompt has the trigger word; None where the job has none."
    )


class FineContrast(BaseModel):
    """What there is to compare; no samples where no step 0 was drawn, or nothing after it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "training_pictures": 0.031,
                "samples": [
                    {
                        "step": 250,
                        "prompt_index": 0,
                        "sample": 0.064,
                        "base": 0.029,
                        "distance_from_base": 0.12,
                        "with_trigger": True,
                    }
                ],
            }
        }
    )
    training_pictures: float | None = Field(
        description="The most that any of those looked at has; None where none could be read."
    )
    samples: list[ComparedSample] = Field(description="Of the newest step, one for each prompt.")


@router.get("/fine-contrast", responses=error_responses(404))
def read_fine_contrast(
    job_id: Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])],
    database: DatabaseOf,
    settings: SettingsOf,
) -> FineContrast:
    """Whether the newest samples have finer structure than the base model's pictures and the
    training pictures, as halos and doubled edges are, and how far they are from the former: see
    docs/watching-a-run.md.
    """
    with database.read() as session:
        job = find_job(session, job_id)
        folder = JobFolder(settings.output_dir, job.training_name).path
        config = parsed(job.config)
        files = [
            (row, join_inside(folder, row.path), join_inside(folder, base.path))
            for row, base in _pairs(session, job_id)
        ]
    if not files or config is None:
        return FineContrast(training_pictures=None, samples=[])
    side_px = min(COMPARED_SIDE_PX, *(min(row.width, row.height) for row, _, _ in files))
    datasets = [
        join_inside(settings.datasets_dir, dataset.target_dataset)
        for dataset in config.datasets
        if not dataset.is_regularization
    ]
    return FineContrast(
        training_pictures=of_datasets(datasets, side_px),
        samples=[
            found
            for row, file, base_file in files
            if (
                found := _compared(
                    row,
                    file,
                    base_file,
                    side_px=side_px,
                    cache_dir=settings.cache_dir,
                    trigger=config.job.trigger_word.strip(),
                )
            )
            is not None
        ],
    )


def _pairs(session: Session, job_id: int) -> list[tuple[Sample, Sample]]:
    """Each picture of the newest step with the base model's, where they were drawn alike; without
    those drawn at strength 0, which the LoRA has no part in.
    """
    drawn = select(Sample).where(Sample.job_id == job_id, Sample.superseded_by.is_(None))
    newest = session.scalar(drawn.with_only_columns(func.max(Sample.step)))
    if not newest:
        return []
    bases = {_drawn_from(row): row for row in session.scalars(drawn.where(Sample.step == 0))}
    rows = session.scalars(drawn.where(Sample.step == newest).order_by(Sample.prompt_index))
    return [
        (row, bases[_drawn_from(row)])
        for row in rows
        if _drawn_from(row) in bases and row.lora_strength != 0
    ]


def _drawn_from(row: Sample) -> tuple[object, ...]:
    """What has to be the same for two pictures to differ by the LoRA alone."""
    return (
        row.prompt_index,
        row.prompt,
        row.seed,
        row.width,
        row.height,
        row.guidance_scale,
        row.sample_steps,
    )


def _compared(
    row: Sample,
    file: FilePath,
    base_file: FilePath,
    *,
    side_px: int,
    cache_dir: FilePath,
    trigger: str,
) -> ComparedSample | None:
    sample, base = fine_contrast_of(file, side_px), fine_contrast_of(base_file, side_px)
    distance = distance_from_base(file, base_file, cache_dir)
    if sample is None or base is None or distance is None:
        return None
    return ComparedSample(
        step=row.step,
        prompt_index=row.prompt_index,
        sample=sample,
        base=base,
        distance_from_base=distance,
        with_trigger=contains_trigger(row.prompt, trigger) if trigger else None,
    )
