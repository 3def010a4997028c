"""What the measurements of a run decide: when the next is due, whether to stop, which is the best.

Pure functions of the job and of the measurements so far, which every checkpoint keeps. A resumed
run therefore decides what the uninterrupted one would have, and a job whose Patience or Drift Limit
was changed judges the past by the new numbers. Patience counts measurements at multiples of
Validate Every only, so that one more at a run's last step changes nothing. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trainer.config import JobConfig
from trainer.errors import Problem


@dataclass(frozen=True)
class Measurement:
    """What was found after `step` steps; None is what was not asked for, or was no number."""

    step: int
    validation_loss: float | None = None
    drift_without_trigger: float | None = None
    change_with_trigger: float | None = None


def measures(job: JobConfig) -> bool:
    """Whether the job asks for measurements at all."""
    return job.advanced.validation != "off" or job.advanced.preservation_probe


def is_measurement_due(job: JobConfig, step: int) -> bool:
    """Whether the job asks for a measurement after `step` steps."""
    return measures(job) and (step % job.validate_every == 0 or step == job.training.steps)


def reason_to_stop(job: JobConfig, measurements: Sequence[Measurement]) -> Problem | None:
    """Why the run should take no further step; None if it should."""
    panel = job.advanced
    scheduled = [m for m in measurements if m.step % job.validate_every == 0]
    if panel.early_stop == "validation_loss":
        return _no_lower_loss(scheduled, panel.patience)
    if panel.early_stop == "preservation_drift":
        return _drifted(scheduled, panel.patience, limit=panel.drift_limit)
    return None


def best_step(
    job: JobConfig, measurements: Sequence[Measurement], steps: Collection[int]
) -> int | None:
    """The best of the steps that have a checkpoint; None if nothing tells them apart.

    By the lowest validation loss; where Early Stop watches preservation, only steps within Drift
    Limit count, and without validation the last of them.
    """
    panel = job.advanced
    found = [m for m in measurements if m.step in steps and m.step > 0]
    if panel.early_stop == "preservation_drift":
        found = [m for m in found if _drift(m) <= panel.drift_limit]
        if panel.validation == "off":
            return max((m.step for m in found), default=None)
    if panel.validation == "off":
        return None
    measured = [m for m in found if m.validation_loss is not None]
    return min(measured, key=lambda m: (_loss(m), m.step)).step if measured else None


def _no_lower_loss(scheduled: Sequence[Measurement], patience: int) -> Problem | None:
    if all(m.validation_loss is None for m in scheduled):
        return None
    lowest = min(range(len(scheduled)), key=lambda i: (_loss(scheduled[i]), i))
    best = scheduled[lowest]
    if len(scheduled) - 1 - lowest < patience:
        return None
    return Problem(
        "early_stop_validation_loss",
        f"Validation loss has not fallen below {_loss(best):.4f}, measured at step {best.step}, "
        f"in {patience} measurements.",
        "Raise Patience (Advanced) and queue the job again to train on.",
        "advanced.early_stop",
        params={"best_step": best.step, "validation_loss": best.validation_loss},
    )


def _drifted(scheduled: Sequence[Measurement], patience: int, *, limit: float) -> Problem | None:
    last = scheduled[-patience:]
    if len(last) < patience or any(_drift(m) <= limit for m in last):
        return None
    return Problem(
        "early_stop_preservation_drift",
        f"Without the trigger the LoRA has moved the base model's answer by more than {limit:g} in "
        f"{patience} measurements in a row, from step {last[0].step} on.",
        "Turn on Differential Output Preservation or lower the Learning Rate; to train on, raise "
        "Drift Limit or Patience (Advanced) and queue the job again.",
        "advanced.early_stop",
        params={"drift": last[-1].drift_without_trigger, "drift_limit": limit},
    )


def _loss(measurement: Measurement) -> float:
    return math.inf if measurement.validation_loss is None else measurement.validation_loss


def _drift(measurement: Measurement) -> float:
    drift = measurement.drift_without_trigger
    return math.inf if drift is None else drift
