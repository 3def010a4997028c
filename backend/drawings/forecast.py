"""What a drawing takes on each device that it may get: memory as the plan predicts it, time as like
pictures took there; or nothing.

Pictures are alike that have the same size, from the same model, stored and loaded in the same way;
their time is counted by denoising step. Drawings tell it by the moments at which their pictures
came, trainings by the seconds of a sampling. How long the model took to load counts where a drawing
has measured it. As in `jobs/time_estimate.py`, nothing is scaled from unlike pictures.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Job, Run, Sample
from backend.drawings.schemas import DeviceForecast
from backend.jobs.machines import machines_for
from backend.jobs.work import DRAWING, TRAINING
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.drawing_config import NO_PICTURES, DrawingConfig, as_job
from trainer.drawing_door import parse_drawing
from trainer.errors import JobRefused
from trainer.memory_check import judge_job

# Older ones say little of today's drivers and versions, and their configs take time to read.
MOST_JOBS = 100
Size = tuple[int, int]


@dataclass
class Measured:
    """step_seconds: of one denoising step, each picture's, by size. start_seconds: from the start
    of a run to where its first picture began. num_pictures: that were measured.
    """

    step_seconds: dict[Size, list[float]] = field(default_factory=lambda: defaultdict(list))
    start_seconds: list[float] = field(default_factory=list)
    num_pictures: int = 0


def forecasts(
    drawing: DrawingConfig, loras: Sequence[Path], database: Database, settings: Settings
) -> list[DeviceForecast]:
    """One for each device that the drawing may run on; none while no worker was seen.

    loras: the files that are on this machine. Call it outside of sessions.
    """
    job = as_job(drawing, loras)
    found = []
    for device in machines_for(drawing.gpu, database, settings):
        judged = judge_job(job, NO_PICTURES, device.machine, settings.folders)
        phases = judged.plan.phases
        with database.read() as session:
            measured = measured_on(session, job, device.id)
        found.append(
            DeviceForecast(
                device=device.id,
                name=device.name,
                fits=judged.fits,
                vram_bytes=max((phase.vram_bytes for phase in phases), default=0),
                ram_bytes=max((phase.ram_bytes for phase in phases), default=0),
                seconds=seconds_of(job, measured),
                num_pictures_measured=measured.num_pictures,
            )
        )
    return found


def seconds_of(job: JobConfig, measured: Measured) -> float | None:
    """Of all its pictures, with the start; None where a size among them was not measured."""
    start = statistics.median(measured.start_seconds) if measured.start_seconds else 0.0
    total = start
    for size, denoising_steps in _denoising_steps(job).items():
        if not measured.step_seconds.get(size):
            return None
        total += denoising_steps * statistics.median(measured.step_seconds[size])
    return total


def measured_on(session: Session, job: JobConfig, device: str) -> Measured:
    """What the latest drawings and trainings on the device say of pictures like the job's."""
    measured = Measured()
    sizes, wanted = set(_denoising_steps(job)), _how_it_is_drawn(job)
    for row, run in _latest_on(session, device):
        config = _config_of(row)
        if config is None or _how_it_is_drawn(config) != wanted:
            continue
        if row.kind == TRAINING:
            _measure_sampling(row, config, sizes, measured)
        else:
            _measure_drawing(session, run, sizes, measured)
    return measured


def _latest_on(session: Session, device: str) -> list[tuple[Job, Run]]:
    latest = select(func.max(Run.id)).group_by(Run.job_id).scalar_subquery()
    query = select(Job, Run).join(Run, Run.job_id == Job.id)
    query = query.where(Run.id.in_(latest), Run.device == device)
    drew = (Job.kind == DRAWING) | Job.sampling_seconds.is_not(None)
    found = session.execute(query.where(drew).order_by(Job.id.desc()).limit(MOST_JOBS))
    return [(row, run) for row, run in found]


def _config_of(row: Job) -> JobConfig | None:
    """None for one of an older version, or one that was changed into a draft since."""
    try:
        if row.kind == DRAWING:
            return as_job(parse_drawing({"name": "drawing", **row.config}))
        return JobConfig.model_validate(row.config)
    except (ValidationError, JobRefused):
        return None


def _how_it_is_drawn(job: JobConfig) -> Mapping[str, Any]:
    """All that a denoising step's time depends on besides the size, up to a few percent."""
    return {
        **job.model.model_dump(exclude={"revision"}),
        "stored": job.quantization.transformer,
        "data_type": job.training.data_type,
        "references": max((len(one.control_images) for one in job.sample.prompts), default=0),
    }


def _denoising_steps(job: JobConfig) -> Counter[Size]:
    """{(width, height): denoising steps of all its pictures}."""
    side, steps = job.variant.sample_side_px, job.sample.sample_steps or job.variant.sample_steps
    width, height = job.sample.width or side, job.sample.height or side
    return Counter(
        {
            size: steps * count
            for size, count in Counter(
                (one.width or width, one.height or height) for one in job.sample.prompts
            ).items()
        }
    )


def _measure_sampling(row: Job, config: JobConfig, sizes: set[Size], measured: Measured) -> None:
    """A training's sampling tells the time of a picture if all of its pictures have one size."""
    steps = _denoising_steps(config)
    if row.sampling_seconds is None or len(steps) != 1:
        return
    ((size, num_steps),) = steps.items()
    if size in sizes and num_steps:
        measured.step_seconds[size].append(row.sampling_seconds / num_steps)
        measured.num_pictures += len(config.sample.prompts)


def _measure_drawing(session: Session, run: Run, sizes: set[Size], measured: Measured) -> None:
    """From one picture to the next; what a rescan brought back came all in one moment."""
    pictures = list(
        session.scalars(select(Sample).where(Sample.run_id == run.id).order_by(Sample.id))
    )
    if run.finished_at is None or any(one.created_at > run.finished_at for one in pictures):
        return
    for before, picture in pairwise(pictures):
        size = (picture.width, picture.height)
        seconds = (picture.created_at - before.created_at).total_seconds()
        if size in sizes and seconds > 0:
            measured.step_seconds[size].append(seconds / picture.sample_steps)
            measured.num_pictures += 1
    if pictures and (own := measured.step_seconds.get((pictures[0].width, pictures[0].height))):
        until_first = (pictures[0].created_at - run.started_at).total_seconds()
        drawn_in = pictures[0].sample_steps * statistics.median(own)
        measured.start_seconds.append(max(0.0, until_first - drawn_in))
