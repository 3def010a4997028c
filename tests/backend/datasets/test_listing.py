"""The dataset page's list, and that a visit does not open every picture anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image

from backend.datasets.listing import list_datasets
from backend.settings import Settings
from tests.backend.installation import NUM_PICTURES, make_dataset
from trainer.file_memory import FileMemory

HOUR_SECONDS = 3600


def settled(folder: Path) -> None:
    """Make the pictures look as if nobody had touched them for an hour."""
    then = time.time() - HOUR_SECONDS
    for file in folder.iterdir():
        os.utime(file, (then, then))


def listed(settings: Settings) -> tuple[dict[str, int], int]:
    """(pictures of each dataset, how many files had to be opened), with the memory on disk."""
    memory = FileMemory(settings.cache_dir)
    entries = list_datasets(settings.datasets_dir, memory)
    return {entry.name: entry.num_pictures for entry in entries}, memory.num_read


def test_pictures_that_were_seen_before_are_not_opened_at_the_next_visit(
    settings: Settings,
) -> None:
    make_dataset(settings.datasets_dir / "circles")
    for name in ("shapes", "circles"):
        settled(settings.datasets_dir / name)
    pictures = {"circles": NUM_PICTURES, "shapes": NUM_PICTURES}
    assert listed(settings) == (pictures, 2 * NUM_PICTURES)
    assert listed(settings) == (pictures, 0)

    changed = settings.datasets_dir / "shapes" / "picture-0.png"
    Image.new("RGB", (32, 32)).save(changed)  # too small to train
    assert listed(settings) == (pictures | {"shapes": NUM_PICTURES - 1}, 1)


def test_a_visit_and_the_jobs_check_remember_for_each_other(
    client: TestClient, settings: Settings
) -> None:
    settled(settings.datasets_dir / "shapes")
    assert client.get("/api/datasets").json()["items"][0]["num_pictures"] == NUM_PICTURES
    assert listed(settings)[1] == 0
