"""`python -m trainer cache`: fills the caches as a run does, and says what it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.trainer.short_runs import job_with, make_squares, write_job
from trainer.cache_command import summary
from trainer.errors import BadDataset
from trainer.folders import PROJECT_FOLDER, Folders
from trainer.pictures import upright_size


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """`squares`, with a mask and a reference for each."""
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    make_squares(folders.datasets)
    for picture in (folders.datasets / "squares").glob("*.png"):
        for name, colour in (("masks", "white"), ("before", "gray")):
            (folders.datasets / name).mkdir(exist_ok=True)
            size = upright_size(picture)
            Image.new("L", size, colour).save(folders.datasets / name / picture.name)
    return folders


def _cache(folders: Folders, **changes: Any) -> subprocess.CompletedProcess[str]:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    file = write_job(folders.datasets.parent / "job.yaml", job_with(dotted))
    command = [sys.executable, "-m", "trainer", "cache", str(file)]
    for name in ("datasets", "models", "cache"):
        command += [f"--{name}", str(getattr(folders, name))]
    return subprocess.run(
        command, cwd=PROJECT_FOLDER, capture_output=True, text=True, env=os.environ, check=False
    )


@pytest.mark.slow
@pytest.mark.long
def test_it_encodes_what_is_missing_once_and_says_so(folders: Folders) -> None:
    full = {
        "datasets__0__mask_dataset": "masks",
        "datasets__0__control_datasets": ["before"],
        "datasets__0__flip_x": True,
    }
    first = _cache(folders, **full)
    assert first.returncode == 0, first.stderr
    # Six pictures each way to lie; the five small gray references are one content.
    assert first.stdout.splitlines() == [
        "12 pictures: 12 encoded, 0 were there already",
        "4 reference pictures: 4 encoded, 0 were there already",
        "2 masks: 2 encoded, 0 were there already",
        "6 texts: 6 encoded, 0 were there already",
    ]
    (folders.datasets / "squares" / "0-red.txt").write_text("[trigger], a crimson square")
    again = _cache(folders, **full)
    assert again.stdout.splitlines() == [
        "12 pictures: 0 encoded, 12 were there already",
        "4 reference pictures: 0 encoded, 4 were there already",
        "2 masks: 0 encoded, 2 were there already",
        "6 texts: 1 encoded, 5 were there already",
    ]
    assert not (folders.cache / "private").exists()


@pytest.mark.slow
def test_what_is_not_kept_is_not_encoded(folders: Folders) -> None:
    off = {"training__cache_text_embeddings": False, "datasets__0__cache_latents": False}
    done = _cache(folders, **off)
    assert done.returncode == 0, done.stderr
    assert "Nothing is kept" in done.stdout
    assert not list(folders.cache.rglob("*.safetensors"))


def test_a_job_that_the_door_refuses_is_refused_here(folders: Folders) -> None:
    done = _cache(folders, datasets__0__mask_dataset="nowhere")
    assert done.returncode == BadDataset.exit_code
    assert "nowhere" in done.stderr


def test_the_summary_counts_each_kind() -> None:
    assert summary({"latents": 3, "prompts": 2}, {"prompts": 1}) == (
        "3 pictures: 0 encoded, 3 were there already\n2 texts: 1 encoded, 1 were there already"
    )
