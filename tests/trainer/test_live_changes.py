"""Which settings may change while a run goes on, and what a change makes of the job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.short_runs import job_with
from trainer.errors import JobRefused, Problem
from trainer.job_file import parse_job
from trainer.live_changes import changed_job, new_warnings, with_settings

JOB = parse_job(job_with({"training.steps": 20, "sample.prompts": [{"prompt": "a red square"}]}))


def refusal(settings: dict[str, Any], *, step: int = 5) -> list[Problem]:
    """The problems of a change that has to be refused."""
    with pytest.raises(JobRefused) as caught:
        changed_job(JOB, settings, step=step)
    return list(caught.value.problems)


def test_a_change_sets_what_it_names_and_nothing_else() -> None:
    settings = {
        "training.steps": 40,
        "save.save_every": 7,
        "save.max_step_saves_to_keep": 2,
        "sample.sample_every": 3,
        "sample.prompts": [{"prompt": "[trigger], a blue square", "seed": 7}],
    }
    changed = changed_job(JOB, settings, step=5)
    assert changed.training.steps == 40
    assert (changed.save.save_every, changed.save.max_step_saves_to_keep) == (7, 2)
    assert changed.sample_every == 3
    assert [(p.prompt, p.seed) for p in changed.sample.prompts] == [("[trigger], a blue square", 7)]
    back = {"training.steps": 20, "sample.sample_every": None, "sample.prompts": []}
    back |= {"save.save_every": 100, "save.max_step_saves_to_keep": 4}
    assert with_settings(changed.model_dump(mode="json"), back) == with_settings(
        JOB.model_dump(mode="json"), {"sample.prompts": []}
    )


@pytest.mark.parametrize(
    "path",
    ["training.learning_rate", "target.linear_rank", "job.seed", "datasets", "sample", "nonsense"],
)
def test_settings_that_what_is_learnt_depends_on_have_to_stay(path: str) -> None:
    (problem,) = refusal({path: 1, "training.steps": 30})
    assert (problem.code, problem.field) == ("not_while_running", path)
    assert "training.steps" in problem.hint


@pytest.mark.parametrize(
    ("settings", "code", "field"),
    [
        ({}, "nothing_to_change", None),
        ({"training.steps": 0}, "greater_than_equal", "training.steps"),
        ({"sample.width": 100}, "multiple_of", "sample.width"),
        ({"sample.no_such_setting": 1}, "extra_forbidden", "sample.no_such_setting"),
        ({"sample.prompts": [{}]}, "missing", "sample.prompts.0.prompt"),
        ({"training.steps": 4}, "steps_are_done", "training.steps"),
    ],
)
def test_a_change_that_no_job_could_hold_is_refused_at_its_field(
    settings: dict[str, Any], code: str, field: str | None
) -> None:
    (problem,) = refusal(settings)
    assert (problem.code, problem.field) == (code, field)
    assert problem.hint


def test_rules_across_settings_hold_for_a_change_too() -> None:
    job = parse_job(job_with({"job.trigger_word": ""}, base=JOB.model_dump(mode="json")))
    with pytest.raises(JobRefused, match="Trigger Word"):
        changed_job(job, {"sample.prompts": [{"prompt": "[trigger], a dog"}]}, step=0)


def test_as_many_steps_as_are_done_end_the_run() -> None:
    assert changed_job(JOB, {"training.steps": 5}, step=5).training.steps == 5


def test_only_warnings_that_the_change_brought_are_new() -> None:
    silent = changed_job(JOB, {"sample.prompts": []}, step=5)
    assert [problem.code for problem in new_warnings(JOB, silent)] == ["no_sample_prompts"]
    assert new_warnings(JOB, JOB) == []
