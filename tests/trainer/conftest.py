"""Folders for short trainings: one dataset and one cache for all tests, an output for each."""

from __future__ import annotations

from typing import Any

import pytest
from optimum.quanto import WeightQBytesTensor

from tests.trainer.short_runs import make_squares
from trainer.folders import Folders


@pytest.fixture(scope="session")
def short_folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Datasets with `squares`, no models but the bundled one, and a cache that tests share."""
    root = tmp_path_factory.mktemp("darkroom")
    folders = Folders(root / "datasets", root / "models", root / "cache")
    make_squares(folders.datasets)
    return folders


@pytest.fixture
def no_chosen_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """quanto is not asked to choose a class for float8 weights.

    On a card it chooses one whose kernel is compiled with nvcc, on a CPU the plain one: what asks
    is noticed here, where the class that comes of it would pass.
    """

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("quanto was asked to choose a class for float8 weights")

    monkeypatch.setattr(WeightQBytesTensor, "create", staticmethod(refuse))
