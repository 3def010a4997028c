"""A few rounds of faults; `make soak` plays hundreds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fault_round import play
from tests.faults.scenes import real_scene, stand_in_scene


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.long)])
def test_nothing_is_lost_doubled_or_false_whatever_strikes(seed: int, tmp_path: Path) -> None:
    record = play(stand_in_scene(), seed, tmp_path / "house")
    assert record.faults
    assert record.num_runs >= 3


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2))
def test_a_real_training_comes_out_as_if_nobody_had_disturbed_it(seed: int, tmp_path: Path) -> None:
    record = play(real_scene(tmp_path / "work"), seed, tmp_path / "house")
    assert record.faults
