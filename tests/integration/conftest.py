"""The installation of tests/backend, and a promise: no trainer is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from backend.settings import Settings
from tests.backend.conftest import database, migrated, settings  # noqa: F401


@pytest.fixture(autouse=True)
def no_trainer_is_left_behind(settings: Settings) -> Iterator[None]:  # noqa: F811
    """End, and report, whatever still works on this test's folder."""
    yield
    left = []
    for process in psutil.process_iter():
        try:
            if any(str(settings.output_dir) in word for word in process.cmdline()):
                left.append(process)
                process.kill()
        except psutil.Error:
            continue
    assert not left, f"the test left processes behind: {left}"
