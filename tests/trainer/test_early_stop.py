"""What measurements decide, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.short_runs import job_with
from trainer.config import JobConfig
from trainer.early_stop import Measurement, best_step, is_measurement_due, reason_to_stop
from trainer.job_file import parse_job


def job(**advanced: Any) -> JobConfig:
    changes = {f"advanced.{name}": value for name, value in advanced.items()}
    return parse_job(job_with({"training.steps": 95, "save.save_every": 10, **changes}))


def losses(*values: float | None) -> list[Measurement]:
    """Measurements at steps 0, 10, 20, ..."""
    return [Measurement(10 * i, validation_loss=value) for i, value in enumerate(values)]


def drifts(*values: float | None) -> list[Measurement]:
    return [Measurement(10 * i, drift_without_trigger=value) for i, value in enumerate(values)]


ON_LOSS = {"validation": "held_out", "early_stop": "validation_loss", "patience": 2}
ON_DRIFT = {
    "preservation_probe": True,
    "early_stop": "preservation_drift",
    "patience": 2,
    "drift_limit": 0.1,
}


def test_measurements_are_due_at_the_base_every_so_many_steps_and_at_the_end() -> None:
    every = job(validation="held_out")
    assert [step for step in range(96) if is_measurement_due(every, step)] == [
        *range(0, 91, 10),
        95,
    ]
    assert is_measurement_due(job(preservation_probe=True, validate_every=3), 3)
    assert not any(is_measurement_due(job(), step) for step in range(96))


@pytest.mark.parametrize(
    ("found", "stops"),
    [
        (losses(), False),
        (losses(0.5), False),
        (losses(0.5, 0.6), False),
        (losses(0.5, 0.6, 0.7), True),  # two measurements without a lower one than the base's
        (losses(0.5, 0.5, 0.5), True),  # as low is not lower
        (losses(0.5, 0.6, 0.4, 0.6), False),
        (losses(0.5, 0.6, 0.4, 0.6, 0.41), True),
        (losses(0.5, None, None), True),  # no number is no improvement
        (losses(None, None, None), False),  # nothing to compare; non-finite steps end the run
    ],
)
def test_patience_counts_measurements_without_a_lower_loss(
    found: list[Measurement], stops: bool
) -> None:
    reason = reason_to_stop(job(**ON_LOSS), found)
    assert (reason is not None) == stops
    if reason is not None:
        assert reason.code == "early_stop_validation_loss"
        best = min(found, key=lambda m: (m.validation_loss or 9, m.step)).step
        assert reason.params["best_step"] == best
    assert reason_to_stop(job(validation="held_out"), found) is None


@pytest.mark.parametrize(
    ("found", "stops"),
    [
        (drifts(0.0, 0.2), False),
        (drifts(0.0, 0.2, 0.11), True),
        (drifts(0.0, 0.2, 0.1, 0.2), False),  # at the limit is within it
        (drifts(0.0, 0.2, None), True),
    ],
)
def test_patience_counts_measurements_beyond_the_drift_limit(
    found: list[Measurement], stops: bool
) -> None:
    reason = reason_to_stop(job(**ON_DRIFT), found)
    assert (reason is not None) == stops
    if reason is not None:
        assert reason.code == "early_stop_preservation_drift"


def test_a_measurement_off_the_schedule_does_not_count_for_patience() -> None:
    found = [*losses(0.5, 0.6), Measurement(15, validation_loss=0.7)]
    assert reason_to_stop(job(**ON_LOSS), found) is None


def test_the_best_is_the_lowest_loss_among_steps_with_a_checkpoint() -> None:
    found = losses(0.1, 0.5, 0.3, 0.2, 0.3)
    measured = job(validation="held_out")
    assert best_step(measured, found, [10, 20, 40]) == 20  # of equals the earlier
    assert best_step(measured, found, [10, 30]) == 30
    assert best_step(measured, found, [0]) is None  # the base model is no checkpoint
    assert best_step(measured, found, []) is None
    assert best_step(job(preservation_probe=True), found, [10, 20]) is None


def test_under_a_drift_limit_the_best_lies_within_it() -> None:
    assert best_step(job(**ON_DRIFT), drifts(0, 0.05, 0.09, 0.3), [10, 20, 30]) == 20
    assert best_step(job(**ON_DRIFT), drifts(0, 0.2, 0.3), [10, 20]) is None
    both = [
        Measurement(10, validation_loss=0.4, drift_without_trigger=0.05),
        Measurement(20, validation_loss=0.3, drift_without_trigger=0.09),
        Measurement(30, validation_loss=0.2, drift_without_trigger=0.2),
    ]
    assert best_step(job(validation="held_out", **ON_DRIFT), both, [10, 20, 30]) == 20


@given(st.lists(st.floats(0, 10), max_size=12), st.integers(1, 4))
def test_more_patience_never_stops_earlier(values: list[float], patience: int) -> None:
    found = losses(*values)
    options = {**ON_LOSS, "patience": patience + 1}
    if reason_to_stop(job(**options), found) is not None:
        assert reason_to_stop(job(**{**options, "patience": patience}), found) is not None
