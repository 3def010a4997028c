"""How long a job will take, from what like jobs took on the same device; or nothing.

A step's time depends on the model, how it is stored and computed, what a step does, and the sizes
of the pictures. Jobs that are the same in all of that, whatever they learned, were measured: the
median of their steps counts. Nothing is scaled from unlike jobs, since no rule of three holds
between cards, quantizations and offloading. Samplings count by their denoising steps, if pictures
of that size were drawn.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.models import Job, Run
from backend.jobs.eta import times_due
from trainer.config import JobConfig

# Fewer have not got over the first step's allocations and compilations.
FEWEST_STEPS = 3
# Older ones say little of today's drivers and versions, and their configs take time to read.
MOST_JOBS = 300

_OF_MODEL = ("model_architecture", "attention_backend", "layer_offloading", "low_vram")
_OF_TRAINING = ("batch_size", "gradient_accumulation", "gradient_checkpointing", "data_type")


@dataclass(frozen=True)
class TimeEstimate:
    """seconds: of the whole run from step 0. sampling_seconds: of one sampling, None where no like
    job drew; it is then not in `seconds`. num_jobs: that were measured.
    """

    seconds: float
    step_seconds: float
    sampling_seconds: float | None
    num_jobs: int


def estimate_time(session: Session, job: JobConfig, device: str) -> TimeEstimate | None:
    """From the jobs that ran on the device; None while no like one has."""
    wanted = _what_a_step_does(job)
    like = [
        (row, config)
        for row, config in _measured_on(session, device)
        if _what_a_step_does(config) == wanted
    ]
    if not like:
        return None
    step = statistics.median(row.step_seconds or 0.0 for row, _ in like)
    sampling = _sampling_seconds(job, like)
    saving = statistics.median(row.saving_seconds or 0.0 for row, _ in like)
    total = job.training.steps
    num_samplings = times_due(0, total, job.sample_every) + job.sample.first_sample_at_step_0
    return TimeEstimate(
        seconds=total * step
        + num_samplings * (sampling or 0.0)
        + times_due(0, total, job.save.save_every) * saving,
        step_seconds=step,
        sampling_seconds=sampling,
        num_jobs=len(like),
    )


def _measured_on(session: Session, device: str) -> Iterable[tuple[Job, JobConfig]]:
    latest = select(func.max(Run.id)).group_by(Run.job_id).scalar_subquery()
    rows = session.scalars(
        select(Job)
        .join(Run, Run.job_id == Job.id)
        .where(
            Run.id.in_(latest),
            Run.device == device,
            Job.step_seconds.is_not(None),
            Job.step >= FEWEST_STEPS,
        )
        .order_by(Job.id.desc())
        .limit(MOST_JOBS)
    )
    for row in rows:
        try:
            yield row, JobConfig.model_validate(row.config)
        except ValidationError:  # of an older version, or changed into a draft since
            continue


def _what_a_step_does(job: JobConfig) -> dict[str, Any]:
    """All that a step's time depends on, up to a few percent."""
    preservation = job.regularization
    preserves = preservation.differential_output_preservation
    preserves_blank = preservation.blank_prompt_preservation
    return {
        **{name: getattr(job.model, name) for name in _OF_MODEL},
        **{name: getattr(job.training, name) for name in _OF_TRAINING},
        "streamed": job.model.transformer_offload_percent
        if job.model.layer_offloading == "on"
        else None,
        "stored": job.quantization.transformer,
        "target": (job.target.target_type, job.target.layers, job.target.layer_pattern),
        "preserves": (preserves, preserves_blank, preservation.every_n_steps)
        if preserves or preserves_blank
        else None,
        "compiled": job.advanced.compile,
        "pictures": sorted(
            (
                tuple(sorted(dataset.resolutions)),
                dataset.batch_size or 0,
                len(dataset.control_datasets),
                dataset.is_regularization,
            )
            for dataset in job.datasets
        ),
    }


def _sampling_seconds(job: JobConfig, like: list[tuple[Job, JobConfig]]) -> float | None:
    size = _picture_size(job)
    seconds_a_step = [
        row.sampling_seconds / _denoising_steps(config)
        for row, config in like
        if row.sampling_seconds is not None
        and _denoising_steps(config)
        and _picture_size(config) == size
    ]
    if not job.sample.prompts:
        return 0.0
    if not seconds_a_step:
        return None
    return statistics.median(seconds_a_step) * _denoising_steps(job)


def _denoising_steps(job: JobConfig) -> int:
    return len(job.sample.prompts) * (job.sample.sample_steps or job.variant.sample_steps)


def _picture_size(job: JobConfig) -> tuple[Any, ...]:
    side = job.variant.sample_side_px
    own = sorted((prompt.width or 0, prompt.height or 0) for prompt in job.sample.prompts)
    return job.sample.width or side, job.sample.height or side, tuple(sorted(set(own)))
