"""Losses of short trainings against recorded ones: the whole objective, held in place.

The tolerance allows for other processors: float32 sums in another order differ by about 1e-6 a
step, and a few steps of AdamW grow that to under 1e-4. A changed formula moves losses by percents.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.record_losses import record
from tests.trainer.recorded_runs import RECORDED_JOBS, RECORDS
from trainer.folders import PROJECT_FOLDER, Folders

pytestmark = pytest.mark.slow  # whole trainings, if short ones

RELATIVE_TOLERANCE = 2e-3


def test_losses_are_those_that_were_recorded(short_folders: Folders, tmp_path: Path) -> None:
    recorded = json.loads(RECORDS.read_text(encoding="utf-8"))
    folders = Folders(PROJECT_FOLDER / "datasets", short_folders.models, short_folders.cache)
    now = record(folders, tmp_path)
    assert now["model"] == recorded["model"], (
        "the bundled model has changed: check the new losses by eye, then run "
        "`python -m tests.trainer.record_losses`"
    )
    for name in RECORDED_JOBS:
        for then, here in zip(recorded["runs"][name], now["runs"][name], strict=True):
            expected = [
                None if value is None else pytest.approx(value, rel=RELATIVE_TOLERANCE, abs=1e-5)
                for value in then
            ]
            assert here == expected, (name, then[0])
