"""Folders for short trainings: one dataset and one cache for all tests, an output for each."""

from __future__ import annotations

import pytest

from tests.trainer.short_runs import make_squares
from trainer.folders import Folders


@pytest.fixture(scope="session")
def short_folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Datasets with `squares`, no models but the bundled one, and a cache that tests share."""
    root = tmp_path_factory.mktemp("darkroom")
    folders = Folders(root / "datasets", root / "models", root / "cache")
    make_squares(folders.datasets)
    return folders
