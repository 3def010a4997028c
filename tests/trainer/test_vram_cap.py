"""The cap on video memory: what it may say, and that nonsense stops a run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.short_runs import job_with, make_squares, run_here
from trainer import env_file
from trainer.errors import JobRefused
from trainer.events import RunFinished
from trainer.folders import Folders
from trainer.vram_cap import vram_cap_bytes
from trainer.vram_limit import cap_vram


def test_a_cap_is_counted_as_cards_are_sold() -> None:
    assert vram_cap_bytes({"DARKROOM_VRAM_CAP_GB": "24"}) == 24 * 1024**3
    assert vram_cap_bytes({"DARKROOM_VRAM_CAP_GB": " 15.5 "}) == 15.5 * 1024**3
    assert vram_cap_bytes({"DARKROOM_VRAM_CAP_GB": ""}) is None
    assert vram_cap_bytes({}) is None


def test_without_a_server_the_cap_is_read_from_the_env_file_unless_the_environment_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DARKROOM_VRAM_CAP_GB", raising=False)
    monkeypatch.setattr(env_file, "PROJECT_FOLDER", tmp_path)
    assert vram_cap_bytes() is None
    (tmp_path / ".env").write_text("DARKROOM_VRAM_CAP_GB=16\n")
    assert vram_cap_bytes() == 16 * 1024**3
    monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "24")
    assert vram_cap_bytes() == 24 * 1024**3


@pytest.mark.parametrize("said", ["0", "-24", "24 GB", "inf", "nan", "lots"])
def test_what_is_no_size_is_refused_with_the_cure(said: str) -> None:
    with pytest.raises(JobRefused, match="DARKROOM_VRAM_CAP_GB") as refused:
        vram_cap_bytes({"DARKROOM_VRAM_CAP_GB": said})
    assert said in refused.value.message
    assert "unset it" in refused.value.hint


def test_there_is_nothing_to_cap_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "24")
    assert cap_vram("cpu") is None


def test_a_run_with_a_cap_that_is_no_size_ends_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_squares(tmp_path / "datasets")
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "plenty")
    run = run_here(job_with(), folders, tmp_path)
    assert run.exit_code == JobRefused.exit_code
    (finished,) = run.of_type(RunFinished)
    assert "DARKROOM_VRAM_CAP_GB=plenty" in str(finished)
