"""Two starts of one job: the second reads the quantized weights that the first kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.resume_rules import misfits

JOB = job_with(
    {
        "training.steps": 2,
        "quantization.transformer": "int4",
        "quantization.text_encoder": "int4",
        "sample.prompts": [],
    }
)


def kept_in(folders: Folders) -> set[str]:
    return {path.name for path in (folders.cache / "weights").glob("*.safetensors")}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    make_squares(tmp_path / "datasets")
    return Folders(
        datasets=tmp_path / "datasets", models=tmp_path / "models", cache=tmp_path / "cache"
    )


@pytest.mark.long  # two encoding children
def test_the_second_start_reads_both_parts_and_computes_the_same(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_here(JOB, folders, tmp_path / "first")
    kept = kept_in(folders)
    assert len(kept) == 2  # the transformer's, and the text encoder's by the encoding child
    shutil.rmtree(folders.cache / "prompts")  # the second child encodes them from the kept weights

    def refuse(*_: object) -> None:
        raise AssertionError("a weight was quantized")

    monkeypatch.setattr("trainer.model_filling.quantized", refuse)
    second = run_here(JOB, folders, tmp_path / "second")
    assert losses(second) == losses(first)
    assert kept_in(folders) == kept


@pytest.mark.slow
@pytest.mark.long
def test_a_job_that_keeps_none_leaves_none(folders: Folders, tmp_path: Path) -> None:
    data = job_with({"quantization.keep_on_disk": False}, base=JOB)
    assert len(losses(run_here(data, folders, tmp_path / "run"))) == 2
    assert kept_in(folders) == set()


def losses(run: ShortRun) -> dict[int, Any]:
    assert run.exit_code == 0, run.events[-1]
    return run.losses


def test_it_may_change_between_a_checkpoint_and_a_resume() -> None:
    before, now = (
        parse_job(job_with({"quantization.keep_on_disk": kept}, base=JOB)).model_dump(mode="json")
        for kept in (True, False)
    )
    assert misfits(before, now, step=1) == []


def test_it_says_so_when_nothing_is_quantized() -> None:
    idle = job_with(
        {
            "quantization.keep_on_disk": False,
            "quantization.transformer": "none",
            "quantization.text_encoder": "none",
        }
    )
    fields = [problem.field for problem in cross_field_problems(parse_job(idle))]
    assert "quantization.keep_on_disk" in fields
    one = job_with({"quantization.text_encoder": "int8"}, base=idle)
    fields = [problem.field for problem in cross_field_problems(parse_job(one))]
    assert "quantization.keep_on_disk" not in fields
