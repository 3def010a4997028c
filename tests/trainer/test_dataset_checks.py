"""What the door says of a job's pictures as a whole: too few of them, and none with a caption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.trainer.short_runs import job_with
from trainer.dataset_checks import FEW_PICTURES, examine_datasets
from trainer.errors import Problem, Severity
from trainer.folders import Folders
from trainer.job_file import parse_job


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")


def make_pictures(folders: Folders, name: str, count: int, caption: str | None = None) -> None:
    folder = folders.datasets / name
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (64, 64), (number, 80, 120)).save(folder / f"{number}.png")
        if caption is not None:
            (folder / f"{number}.txt").write_text(caption)


def told(folders: Folders, code: str, changes: dict[str, Any]) -> list[Problem]:
    """The problems of this code in a job on the datasets that `changes` name."""
    _, problems = examine_datasets(parse_job(job_with(changes)), folders)
    return [problem for problem in problems if problem.code == code]


def of(name: str, **settings: Any) -> dict[str, Any]:
    return {"target_dataset": name, "resolutions": [64], **settings}


def test_pictures_without_any_caption_are_refused_with_the_cure(folders: Folders) -> None:
    make_pictures(folders, "bare", 6)
    (problem,) = told(folders, "no_captions", {"datasets": [of("bare")]})
    assert problem.severity == Severity.ERROR
    assert problem.field == "datasets.0.default_caption"
    assert "None of the 6 pictures in bare has a caption" in problem.message
    assert "Default Caption" in problem.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": [of("bare", default_caption="[trigger], a field")]},
        # The trigger alone is trained, whatever stands beside the pictures.
        {
            "datasets": [of("bare")],
            "training.unload_te": True,
            "training.cache_text_embeddings": False,
        },
        # They hold the model where it is, also at the empty prompt.
        {"datasets": [of("bare", is_regularization=True), of("captioned")]},
    ],
    ids=["default caption", "trigger alone", "regularization"],
)
def test_captions_may_be_missing_where_they_are_not_needed(
    folders: Folders, changes: dict[str, Any]
) -> None:
    make_pictures(folders, "bare", 6)
    make_pictures(folders, "captioned", 6, "[trigger], a field")
    assert told(folders, "no_captions", changes) == []


def test_the_second_dataset_is_named_at_its_own_field(folders: Folders) -> None:
    make_pictures(folders, "captioned", 6, "[trigger], a field")
    make_pictures(folders, "bare", 2)
    changes = {"datasets": [of("captioned"), of("bare")]}
    (problem,) = told(folders, "no_captions", changes)
    assert problem.field == "datasets.1.default_caption"


@pytest.mark.parametrize("count", [1, FEW_PICTURES - 1, FEW_PICTURES])
def test_few_pictures_are_a_warning_with_the_usual_numbers(folders: Folders, count: int) -> None:
    make_pictures(folders, "few", count, "[trigger]")
    make_pictures(folders, "other", 30, "[trigger]")
    # Regularization pictures teach nothing, so they do not count.
    datasets = [of("few"), of("other", is_regularization=True)]
    found = told(folders, "few_pictures", {"datasets": datasets})
    if count == FEW_PICTURES:
        assert found == []
        return
    (problem,) = found
    assert problem.severity == Severity.WARNING
    assert f"With {count} picture" in problem.message
    assert "15-30" in problem.hint


def test_regularization_alone_is_refused(folders: Folders) -> None:
    make_pictures(folders, "held", 6, "a field")
    changes = {"datasets": [of("held", is_regularization=True)]}
    (problem,) = told(folders, "only_regularization", changes)
    assert (problem.severity, problem.field) == (Severity.ERROR, "datasets.0.is_regularization")


def test_one_picture_cannot_be_on_both_sides(folders: Folders) -> None:
    make_pictures(folders, "one", 1, "[trigger]")
    changes = {"datasets": [of("one")], "advanced.validation": "held_out"}
    (problem,) = told(folders, "too_few_to_hold_out", changes)
    assert (problem.severity, problem.field) == (Severity.ERROR, "advanced.validation")
    make_pictures(folders, "two", 2, "[trigger]")
    changes = {"datasets": [of("two")], "advanced.validation": "held_out"}
    assert told(folders, "too_few_to_hold_out", changes) == []
