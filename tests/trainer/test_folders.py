"""Names from outside never lead outside; the output folder's layout reads back what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import JobRefused
from trainer.folders import Folders, join_inside
from trainer.job_folder import JobFolder

ROOT = Path("/srv/datasets")


@pytest.mark.parametrize("name", ["cats", "people/anna", "あ.png", "a b", "..hidden", "a..b"])
def test_plain_names_are_joined(name: str) -> None:
    assert join_inside(ROOT, name) == ROOT / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../up",
        "a/../../b",
        "/etc/passwd",
        "~root",
        "a\0b",
        "C:\\x",
        "a\\..\\b",
        ".",
        "a/./b",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(JobRefused) as refused:
        join_inside(ROOT, name, field="datasets.0.target_dataset")
    assert refused.value.problems[0].field == "datasets.0.target_dataset"


@given(st.text())
def test_whatever_is_joined_stays_inside(name: str) -> None:
    try:
        joined = join_inside(ROOT, name)
    except JobRefused:
        return
    assert joined.resolve().is_relative_to(ROOT)


def test_folders_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARKROOM_DATASETS_DIR", str(tmp_path / "d"))
    monkeypatch.delenv("DARKROOM_MODELS_DIR", raising=False)
    monkeypatch.delenv("DARKROOM_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    folders = Folders.from_environment()
    assert folders.datasets == tmp_path / "d"
    assert folders.models == tmp_path / "c" / "darkroom" / "models"


def test_checkpoints_and_runs_are_found_by_their_names_alone(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "cat")
    assert folder.checkpoint_steps() == []
    assert folder.next_run_number() == 1
    for step in (250, 1_250_000, 50):
        folder.checkpoint(step).mkdir(parents=True)
    (folder.checkpoints / ".writing-abc").mkdir()
    (folder.checkpoints / "notes").mkdir()
    folder.run(1).path.mkdir(parents=True)
    folder.run(12).path.mkdir(parents=True)
    assert folder.checkpoint_steps() == [50, 250, 1_250_000]
    assert folder.run_numbers() == [1, 12]
    assert folder.next_run_number() == 13
    assert folder.relative(folder.sample(250, 3)) == "samples/step-000250-prompt-03.png"
