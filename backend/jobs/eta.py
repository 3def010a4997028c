"""How long a running job still needs: steps, samples and saves counted apart.

A sampling takes as long as hundreds of steps on some models, so an average over wall time is wrong
right after each one. Steps still to come x the median of recent steps, plus samplings still to
come x the mean of those seen, plus the same for saves.
"""

from __future__ import annotations

from backend.db.models import Job
from trainer.config import JobConfig

# A training step is about a forward pass and a backward of twice its cost; a denoising step is one
# forward pass. This stands in until the first sampling was measured.
_DENOISING_STEP_PER_TRAINING_STEP = 1 / 3


def eta_seconds(job: Job, config: JobConfig) -> float | None:
    """Seconds to the job's end; None while no step was measured."""
    if job.step_seconds is None:
        return None
    total = config.training.steps
    steps = max(0, total - job.step) * job.step_seconds
    samplings = times_due(job.step, total, config.sample_every) + _part_left(job, "sample")
    saves = times_due(job.step, total, config.save.save_every) + _part_left(job, "save")
    per_sampling = job.sampling_seconds
    if per_sampling is None:
        per_sampling = _guessed_sampling_seconds(config, job.step_seconds)
    return steps + samplings * per_sampling + saves * (job.saving_seconds or 0.0)


def times_due(step: int, total_steps: int, every_steps: int) -> int:
    """How often something done every so many steps, and at the last one, is still to come."""
    if step >= total_steps:
        return 0
    regular = total_steps // every_steps - step // every_steps
    return regular + (1 if total_steps % every_steps else 0)


def _part_left(job: Job, phase: str) -> float:
    """The part of a sampling or save that is under way now."""
    if job.phase != phase or job.step == 0:
        return 0.0
    progress = job.progress
    if not progress or progress["total"] <= 0:
        return 1.0
    return 1.0 - min(1.0, progress["done"] / progress["total"])


def _guessed_sampling_seconds(config: JobConfig, step_seconds: float) -> float:
    steps = config.sample.sample_steps or config.variant.sample_steps
    return len(config.sample.prompts) * steps * step_seconds * _DENOISING_STEP_PER_TRAINING_STEP
