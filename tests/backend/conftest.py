"""A real database file, the real application, a dataset that the door admits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.main import create_app
from backend.settings import Settings
from tests.backend.installation import make_dataset, settings_in


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file brought up from nothing once, to be copied."""
    settings = settings_in(tmp_path_factory.mktemp("migrated"))
    migrate(settings)
    return settings.database_file


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    """An installation of its own in a temporary folder, migrated."""
    settings = settings_in(tmp_path)
    make_dataset(settings.datasets_dir / "shapes")
    shutil.copy(migrated, settings.database_file)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The installation's database."""
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the application, at an address that it knows."""
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
