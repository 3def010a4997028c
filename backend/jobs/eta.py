"""How long a running job still needs: steps, samplings, measurements and saves counted apart.

A sampling takes as long as hundreds of steps on some models, so an average over wall time is wrong
right after each one. What is still to come of each kind x the seconds of one of that kind, as
measured so far. Loading and encoding are phases of their own: they come before the first step and
are part of no other's seconds, so a resume that loads for minutes makes no step look slow.

A step's seconds are a mean, not a median: pictures of several sizes make steps of several lengths,
in turn, and a median is one of those lengths. Single steps that took far too long (a machine that
slept, a compilation) count as a few ordinary ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from backend.db.models import Job
from trainer.config import JobConfig
from trainer.early_stop import measures

# Enough to see every size of picture in its share, few enough to follow a lasting slow-down.
STEPS_OF_PACE = 200
# The first steps of a run compile kernels and fill caches; they count once there are enough others.
_WARM_UP_STEPS, _ENOUGH_STEPS = 2, 10
_LONGEST_IN_MEDIANS = 10
# A training step is about a forward pass and a backward of twice its cost; a denoising step is one
# forward pass. This stands in until the first sampling was measured.
_DENOISING_STEP_PER_TRAINING_STEP = 1 / 3


def eta_seconds(job: Job, config: JobConfig) -> float | None:
    """Seconds to the job's end; None while no step was measured."""
    per_step = job.step_seconds if job.mean_step_seconds is None else job.mean_step_seconds
    if per_step is None:
        return None
    total = config.training.steps
    steps = max(0, total - job.step) * per_step
    samplings = times_due(job.step, total, config.sample_every) + _part_left(job, "sample")
    saves = times_due(job.step, total, config.save.save_every) + _part_left(job, "save")
    per_sampling = job.sampling_seconds
    if per_sampling is None:
        per_sampling = _guessed_sampling_seconds(config, per_step)
    seconds = steps + samplings * per_sampling + saves * (job.saving_seconds or 0.0)
    if job.measuring_seconds is None or not measures(config):
        return seconds
    due = times_due(job.step, total, config.validate_every) + _part_left(job, "validate")
    return seconds + due * job.measuring_seconds


def mean_step_seconds(latest_first: Sequence[float]) -> float:
    """The mean of a run's latest steps, at most STEPS_OF_PACE of them, the latest first."""
    steps = list(latest_first)
    if _ENOUGH_STEPS <= len(steps) < STEPS_OF_PACE:  # the run's first are still among them
        steps = steps[:-_WARM_UP_STEPS]
    longest = statistics.median(steps) * _LONGEST_IN_MEDIANS
    return statistics.fmean(min(seconds, longest) for seconds in steps)


def times_due(step: int, total_steps: int, every_steps: int) -> int:
    """How often something done every so many steps, and at the last one, is still to come."""
    if step >= total_steps:
        return 0
    regular = total_steps // every_steps - step // every_steps
    return regular + (1 if total_steps % every_steps else 0)


def _part_left(job: Job, phase: str) -> float:
    """The part of something under way now that is still to come."""
    if job.phase != phase or job.step == 0:
        return 0.0
    progress = job.progress
    if not progress or progress["total"] <= 0:
        return 1.0
    return 1.0 - min(1.0, progress["done"] / progress["total"])


def _guessed_sampling_seconds(config: JobConfig, step_seconds: float) -> float:
    steps = config.sample.sample_steps or config.variant.sample_steps
    return len(config.sample.prompts) * steps * step_seconds * _DENOISING_STEP_PER_TRAINING_STEP
