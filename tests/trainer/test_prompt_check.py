"""Prompts that would be cut, told at the door."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import job_with, make_squares
from trainer.door import Verdict, examine_job
from trainer.errors import Problem, Severity
from trainer.folders import PROJECT_FOLDER, Folders

LONG = "very " * 100
LONG_CLASS = "very " * 18 + "photo"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    make_squares(folders.datasets)
    return folders


def write_caption(folders: Folders, name: str, text: str) -> None:
    (folders.datasets / "squares" / f"{name}.txt").write_text(text)


def examined(folders: Folders, **changes: Any) -> Verdict:
    return examine_job(job_with({k.replace("__", "."): v for k, v in changes.items()}), folders)


def of_length(verdict: Verdict) -> list[Problem]:
    codes = ("captions_too_long", "prompt_too_long", "dataset_without_usable_pictures")
    return [problem for problem in verdict.problems if problem.code in codes]


def test_a_long_caption_is_refused_by_its_file_and_length(folders: Folders) -> None:
    write_caption(folders, "1-green", f"[trigger], {LONG}")
    (problem,) = of_length(examined(folders))
    assert (problem.code, problem.severity) == ("captions_too_long", Severity.ERROR)
    assert problem.field == "datasets.0.target_dataset"
    (file,) = problem.params["files"]
    assert re.fullmatch(r"1-green\.png \(\d{3} of 48 tokens\)", file)


def test_left_out_is_the_picture_with_a_warning(folders: Folders) -> None:
    write_caption(folders, "1-green", LONG)
    verdict = examined(folders, datasets__0__bad_files="leave_out")
    (problem,) = of_length(verdict)
    assert problem.severity == Severity.WARNING
    assert verdict.errors == []
    names = [item.name for item in verdict.indexes[0].items]
    assert "1-green.png" not in names
    assert len(names) == 5


def test_leaving_all_out_is_refused(folders: Folders) -> None:
    for caption in (folders.datasets / "squares").glob("*.png"):
        write_caption(folders, caption.stem, LONG)
    (problem,) = of_length(examined(folders, datasets__0__bad_files="leave_out"))
    assert problem.code == "dataset_without_usable_pictures"


def test_the_class_counts_where_it_is_longer_than_the_trigger(folders: Folders) -> None:
    changes = {
        "regularization__differential_output_preservation": True,
        "regularization__preservation_class": LONG_CLASS,
    }
    (problem,) = of_length(examined(folders, **changes))
    assert problem.code == "captions_too_long"
    assert len(problem.params["files"]) == 4  # those with the trigger
    # The probe alone asks class captions too, and there the class is what to shorten.
    changes = {
        "advanced__preservation_probe": True,
        "regularization__preservation_class": LONG_CLASS,
    }
    (problem,) = of_length(examined(folders, **changes))
    assert (problem.code, problem.field) == (
        "prompt_too_long",
        "regularization.preservation_class",
    )


def test_a_long_sample_prompt_is_refused_at_its_field_with_the_trigger_in_it(
    folders: Folders,
) -> None:
    prompts = [{"prompt": "a cat"}, {"prompt": "[trigger] " * 30}]
    (problem,) = of_length(examined(folders, sample__prompts=prompts))
    assert (problem.code, problem.field) == ("prompt_too_long", "sample.prompts.1.prompt")
    assert "of 48 tokens" in problem.message


def test_a_long_caption_of_the_validation_dataset_is_told_at_its_field(folders: Folders) -> None:
    make_squares(folders.datasets / "more")
    (folders.datasets / "more" / "squares").rename(folders.datasets / "others")
    (folders.datasets / "others" / "0-red.txt").write_text(LONG)
    verdict = examined(
        folders, advanced__validation="dataset", advanced__validation_dataset="others"
    )
    (problem,) = of_length(verdict)
    assert (problem.code, problem.field) == ("captions_too_long", "advanced.validation_dataset")


def test_without_the_models_tokenizer_the_door_says_nothing_of_length(folders: Folders) -> None:
    write_caption(folders, "1-green", LONG)
    verdict = examined(folders, model__name_or_path="nowhere")
    assert of_length(verdict) == []
    assert [problem.code for problem in verdict.model_problems] == ["model_missing"]


def test_counting_loads_no_torch(folders: Folders) -> None:
    write_caption(folders, "1-green", LONG)
    roots = [str(root) for root in (folders.datasets, folders.models, folders.cache)]
    program = (
        "import sys; from pathlib import Path; from trainer.door import examine_job; "
        "from trainer.folders import Folders; "
        f"verdict = examine_job({job_with()!r}, Folders(*map(Path, {roots!r}))); "
        "print([p.code for p in verdict.errors], "
        "[name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "['captions_too_long'] []"
