"""What may change between a checkpoint and a resume from it, and what is said about it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer.errors import BadCheckpoint
from trainer.events import RunBegins, RunFinished, RunStarted, Superseded, Warned
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.resume_rules import FIXED_SETTINGS, changed_settings, misfits

JOB = job_with({"training.steps": 2, "save.save_every": 1})


def dumped(changes: dict[str, Any]) -> dict[str, Any]:
    return parse_job(job_with(changes, base=JOB)).model_dump(mode="json")


@pytest.mark.parametrize(
    "changes",
    [
        {"training.learning_rate": 0.001, "training.lr_schedule": "cosine"},
        {"training.steps": 9, "training.batch_size": 2, "training.gradient_accumulation": 3},
        {
            "regularization.differential_output_preservation": True,
            "regularization.multiplier": 2.0,
        },
        {"advanced.do_differential_guidance": True, "advanced.scale": 2.0},
        {"save.save_every": 7, "sample.sample_every": 3, "sample.prompts": [{"prompt": "a"}]},
        {"target.dropout": 0.1},
    ],
)
def test_settings_that_keep_the_state_valid_are_taken_over_and_named(
    changes: dict[str, Any],
) -> None:
    before, now = dumped({}), dumped(changes)
    assert misfits(before, now, step=1) == []
    found = changed_settings(before, now)
    assert found.keys() == changes.keys()
    for path, values in found.items():
        panel, name = path.split(".")
        assert (values["before"], values["now"]) == (before[panel][name], now[panel][name])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model.model_architecture": "klein-4b"}, "model.model_architecture"),
        ({"quantization.transformer": "float8"}, "quantization.transformer"),
        ({"quantization.text_encoder": "float8"}, "quantization.text_encoder"),
        ({"target.linear_rank": 8}, "target.linear_rank"),
        ({"target.linear_alpha": 1.0}, "target.linear_alpha"),
        ({"target.target_type": "lokr"}, "target.target_type"),
    ],
)
def test_settings_that_the_weights_belong_to_need_a_clone(
    changes: dict[str, Any], field: str
) -> None:
    assert field in FIXED_SETTINGS
    problems = {p.field: p for p in misfits(dumped({}), dumped(changes), step=1)}
    assert problems[field].code == "checkpoint_does_not_fit"
    assert "clone" in problems[field].hint


def test_a_blank_alpha_is_the_rank_and_a_setting_that_was_not_there_has_its_default() -> None:
    assert misfits(dumped({}), dumped({"target.linear_alpha": 4.0}), step=1) == []
    old = dumped({})
    del old["target"]["dropout"]
    del old["advanced"]
    assert misfits(old, dumped({}), step=1) == []
    assert changed_settings(old, dumped({})) == {}


@pytest.mark.slow
def test_changed_settings_are_recorded_where_the_run_begins(
    short_folders: Folders, tmp_path: Path
) -> None:
    run_here(JOB, short_folders, tmp_path)
    changes = {"training.steps": 3, "training.learning_rate": 0.001}
    again = run_here(job_with(changes, base=JOB), short_folders, tmp_path)
    (begins,) = again.of_type(RunBegins)
    assert begins.resumed_from_step == 2
    assert begins.changed_settings == {
        "training.steps": {"before": 2, "now": 3},
        "training.learning_rate": {"before": 0.003, "now": 0.001},
    }
    assert list(again.losses) == [3]


def problems_of(run: ShortRun) -> list[dict[str, Any]]:
    (finished,) = run.of_type(RunFinished)
    return finished.problems


@pytest.mark.slow
def test_a_dataset_that_changed_is_named_and_the_person_decides(
    short_folders: Folders, tmp_path: Path
) -> None:
    datasets = tmp_path / "datasets"
    make_squares(datasets)
    folders = Folders(datasets, short_folders.models, short_folders.cache)
    out = tmp_path / "out"
    first = run_here(JOB, folders, out)

    squares = datasets / "squares"
    shutil.copy(squares / "0-red.png", squares / "9-new.png")
    (squares / "9-new.txt").write_text("[trigger], a red square")
    (squares / "1-green.txt").write_text("[trigger], another green square")
    for part in ("2-blue.png", "2-blue.txt"):
        (squares / part).unlink()

    more = job_with({"training.steps": 3}, base=JOB)
    refused = run_here(more, folders, out, resume="1")
    assert refused.exit_code == BadCheckpoint.exit_code
    assert isinstance(refused.events[0], RunStarted)
    assert refused.of_type(RunBegins) == []
    (problem,) = problems_of(refused)
    assert (problem["code"], problem["field"]) == ("dataset_changed", "advanced.changed_dataset")
    assert problem["params"]["files"] == [
        "9-new.png (added)",
        "2-blue.png (removed)",
        "1-green.png (changed)",
    ]
    # Refused before anything made way.
    assert first.folder.checkpoint_steps() == [1, 2]
    assert not first.folder.superseded.exists()

    allowed = job_with({"advanced.changed_dataset": "go_on"}, base=more)
    again = run_here(allowed, folders, out, resume="1")
    assert again.exit_code == 0
    assert list(again.losses) == [2, 3]
    assert "dataset_changed" in [w.code for w in again.of_type(Warned)]
    assert again.of_type(Superseded)[0].after_step == 1

    # What it has gone on with is what it knows from then on.
    plain = job_with({"training.steps": 4}, base=JOB)
    assert list(run_here(plain, folders, out).losses) == [4]


@pytest.mark.slow
def test_a_refused_resume_begins_its_events_like_any_run(
    short_folders: Folders, tmp_path: Path
) -> None:
    run_here(JOB, short_folders, tmp_path)
    other = job_with({"target.linear_rank": 8}, base=JOB)
    refused = run_here(other, short_folders, tmp_path)
    assert refused.exit_code == BadCheckpoint.exit_code
    assert isinstance(refused.events[0], RunStarted)
    assert refused.of_type(RunBegins) == []
    assert {p["field"] for p in problems_of(refused)} == {"target.linear_rank"} | {
        p["field"] for p in problems_of(refused) if p["field"] == "target.linear_alpha"
    }
