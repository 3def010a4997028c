from __future__ import annotations

import pytest

from backend.db.models import Job
from backend.jobs.eta import eta_seconds, times_due
from tests.backend.installation import job_config
from trainer.config import JobConfig


@pytest.mark.parametrize(
    ("step", "total", "every", "due"),
    [
        (0, 100, 25, 4),  # 25, 50, 75, 100
        (25, 100, 25, 3),
        (26, 100, 25, 3),
        (0, 100, 30, 4),  # 30, 60, 90 and the last step
        (90, 100, 30, 1),
        (99, 100, 250, 1),
        (100, 100, 25, 0),
    ],
)
def test_what_is_done_every_so_many_steps_is_counted_with_the_last_step(
    step: int, total: int, every: int, due: int
) -> None:
    assert times_due(step, total, every) == due


def running(**values: object) -> tuple[Job, JobConfig]:
    config = JobConfig.model_validate(
        job_config(training={"steps": 100}, save={"save_every": 50}, sample={"sample_every": 25})
    )
    defaults: dict[str, object] = {
        "step": 40, "phase": "train", "step_seconds": 2.0, "sampling_seconds": 30.0,
        "saving_seconds": 5.0, "progress": None,
    }  # fmt: skip
    return Job(**(defaults | values)), config


def test_steps_samplings_and_saves_are_counted_apart() -> None:
    # 60 steps x 2 s, samplings at 50, 75, 100 x 30 s, saves at 50, 100 x 5 s
    assert eta_seconds(*running()) == 120 + 90 + 10


def test_half_a_sampling_that_is_under_way_counts_half() -> None:
    progress = {"done": 1, "total": 2, "message": ""}
    job, config = running(step=50, phase="sample", progress=progress)
    assert eta_seconds(job, config) == 100 + 60 + 5 + 15


def test_nothing_is_said_before_the_first_step_was_measured() -> None:
    assert eta_seconds(*running(step_seconds=None)) is None


def test_before_the_first_sampling_was_measured_its_denoising_steps_stand_in() -> None:
    job, config = running(sampling_seconds=None, saving_seconds=None)
    # 2 prompts x 20 steps x a third of a training step
    assert eta_seconds(job, config) == pytest.approx(120 + 3 * (2 * 20 * 2.0 / 3))
