"""The door: one look at a job finds everything that keeps it from running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.trainer.short_runs import job_with
from trainer.door import Verdict, examine_job
from trainer.errors import BadDataset, BadModel, JobRefused, Severity
from trainer.folders import PROJECT_FOLDER, Folders

JOB: dict[str, Any] = {
    "job": {"training_name": "cats", "trigger_word": "zorvex"},
    "model": {"model_architecture": "tiny"},
    "training": {"learning_rate": 0.001},
    "datasets": [{"target_dataset": "cats", "resolutions": [64]}],
    "sample": {"prompts": [{"prompt": "a cat"}]},
}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """`cats`: five pictures of 64 px; the captions of four hold the placeholder."""
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    for name in "abcde":
        caption = "a cat" if name == "c" else "[trigger], a cat"
        _picture(folders.datasets / "cats" / f"{name}.png", caption)
    return folders


def _picture(file: Path, caption: str, side_px: int = 64) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side_px, side_px), "red").save(file)
    file.with_suffix(".txt").write_text(caption)


def _examine(folders: Folders, **changes: Any) -> Verdict:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return examine_job(job_with(dotted, base=JOB), folders)


def _codes(verdict: Verdict) -> dict[str, Severity]:
    return {problem.code: problem.severity for problem in verdict.problems}


def test_a_job_that_can_run_is_admitted_with_its_pictures(folders: Folders) -> None:
    verdict = _examine(folders)
    assert verdict.errors == []
    assert verdict.admitted().job.training_name == "cats"
    assert [[item.name for item in index.items] for index in verdict.indexes] == [
        ["a.png", "b.png", "c.png", "d.png", "e.png"]
    ]
    # Reported, not refused: the third caption lacks the trigger.
    assert _codes(verdict) == {"captions_without_trigger": Severity.WARNING}
    assert "c.png" in verdict.warnings[0].message


def test_a_refused_setting_is_told_without_looking_at_the_disk(folders: Folders) -> None:
    verdict = _examine(folders, training__steps=0, datasets__0__target_dataset="none")
    assert verdict.job is None
    assert [problem.field for problem in verdict.errors] == ["training.steps"]
    with pytest.raises(JobRefused, match="0"):
        verdict.admitted()


def test_settings_datasets_and_model_are_all_told_at_once(folders: Folders) -> None:
    verdict = _examine(
        folders,
        job__trigger_word="",
        datasets__0__target_dataset="cat",
        model__name_or_path="nowhere",
        sample__prompts=[{"prompt": "[trigger]"}],
    )
    assert {"placeholder_without_trigger", "dataset_missing", "model_missing"} <= set(
        _codes(verdict)
    )
    with pytest.raises(JobRefused) as refused:
        verdict.admitted()
    assert len(refused.value.problems) == len(verdict.errors)


def test_the_error_class_is_that_of_what_is_wrong(folders: Folders) -> None:
    def admit(**changes: Any) -> None:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        examine_job(job_with(dotted, base=JOB), folders).admitted()

    with pytest.raises(BadDataset):
        admit(datasets__0__target_dataset="dogs")
    with pytest.raises(BadModel):
        admit(model__name_or_path="dogs")
    with pytest.raises(JobRefused):
        admit(training__lr_schedule="cosine", training__warmup_steps=100_000)


def test_a_misspelt_dataset_is_told_the_near_names(folders: Folders) -> None:
    verdict = _examine(folders, datasets__0__target_dataset="cast")
    assert verdict.errors[0].code == "dataset_missing"
    assert verdict.errors[0].hint == "Did you mean cats?"


@pytest.mark.parametrize("name", ["../models", "/etc", "cats/../../x", "~", "a\\b", "C:cats"])
def test_a_dataset_name_that_leads_elsewhere_is_refused(folders: Folders, name: str) -> None:
    verdict = _examine(folders, datasets__0__target_dataset=name)
    assert [(p.code, p.field) for p in verdict.errors] == [
        ("bad_path", "datasets.0.target_dataset")
    ]


def test_a_relative_model_that_leads_elsewhere_is_refused(folders: Folders) -> None:
    verdict = _examine(folders, model__name_or_path="../datasets/cats")
    assert [(p.code, p.field) for p in verdict.errors] == [("bad_path", "model.name_or_path")]


def test_a_placeholder_in_captions_wants_a_trigger_word_and_names_the_files(
    folders: Folders,
) -> None:
    verdict = _examine(folders, job__trigger_word="")
    (problem,) = verdict.errors
    assert problem.code == "placeholder_without_trigger"
    assert problem.params["files"] == ["a.png", "b.png", "d.png", "e.png"]


def test_preservation_with_no_trigger_in_any_caption_is_refused(folders: Folders) -> None:
    on = {"regularization__differential_output_preservation": True}
    verdict = _examine(folders, regularization__trigger="dog", **on)
    assert [p.code for p in verdict.errors] == ["preservation_without_captions"]
    some = _examine(folders, **on)
    assert _codes(some) == {"captions_without_trigger": Severity.WARNING}
    assert "preservation skips" in some.warnings[0].message


def test_preservation_finds_the_trigger_in_the_default_caption(folders: Folders) -> None:
    for caption in (folders.datasets / "cats").glob("*.txt"):
        caption.unlink()
    verdict = _examine(
        folders,
        regularization__differential_output_preservation=True,
        datasets__0__default_caption="[trigger], a cat",
    )
    assert verdict.problems == []


def test_pictures_under_every_resolution_are_named(folders: Folders) -> None:
    _picture(folders.datasets / "cats" / "large.png", "zorvex", side_px=128)
    verdict = _examine(folders, datasets__0__resolutions=[128])
    (warning,) = [p for p in verdict.warnings if p.code == "pictures_below_resolution"]
    assert warning.params["files"] == [f"{name}.png (64x64)" for name in "abcde"]
    upscaled = _examine(folders, datasets__0__resolutions=[128], datasets__0__allow_upscaling=True)
    assert "pictures_below_resolution" not in _codes(upscaled)


def test_a_batch_size_that_no_size_of_picture_fills_is_a_warning(folders: Folders) -> None:
    _picture(folders.datasets / "cats" / "large.png", "zorvex", side_px=128)
    assert "batch_never_full" in _codes(
        _examine(folders, training__batch_size=6, datasets__0__resolutions=[64, 128])
    )
    assert "batch_never_full" not in _codes(
        _examine(folders, training__batch_size=5, datasets__0__resolutions=[64, 128])
    )


def test_a_damaged_picture_is_found_before_a_model_loads(folders: Folders) -> None:
    (folders.datasets / "cats" / "b.png").write_bytes(b"torn")
    with pytest.raises(BadDataset, match=r"b\.png"):
        _examine(folders).admitted()


def test_the_door_never_loads_torch(folders: Folders) -> None:
    roots = [str(root) for root in (folders.datasets, folders.models, folders.cache)]
    program = (
        "import sys; from pathlib import Path; from trainer.door import examine_job; "
        "from trainer.folders import Folders; "
        f"folders = Folders(*map(Path, {roots!r})); "
        f"assert not examine_job({JOB!r}, folders).errors; "
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
