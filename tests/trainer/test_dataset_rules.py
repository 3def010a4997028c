"""Rules of the Datasets panel and of Unload TE, each at its field with the cure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.short_runs import job_with
from trainer.dataset_rules import DATASET_RULES
from trainer.errors import Problem, Severity
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems


def told(changes: dict[str, Any]) -> list[Problem]:
    job = parse_job(job_with(changes))
    found = [problem for rule in DATASET_RULES for problem in rule(job)]
    # What a rule finds is in what form, API and command line hear.
    assert {problem.code for problem in found} <= {p.code for p in cross_field_problems(job)}
    return found


@pytest.mark.parametrize(
    ("changes", "code", "field", "named"),
    [
        (
            {"training.unload_te": True},
            "unload_te_excludes_cache",
            "training.unload_te",
            ("Unload TE", "Cache Text Embeddings"),
        ),
        (
            {
                "training.unload_te": True,
                "training.cache_text_embeddings": False,
                "job.trigger_word": "",
            },
            "unload_te_without_trigger",
            "job.trigger_word",
            ("Unload TE", "Trigger Word"),
        ),
        (
            {"datasets.0.mask_dataset": "squares"},
            "mask_is_target",
            "datasets.0.mask_dataset",
            ("Mask Dataset", "'squares'"),
        ),
        (
            {"datasets.0.control_datasets": ["before", "squares"]},
            "reference_is_target",
            "datasets.0.control_datasets.1",
            ("Control Datasets", "'squares'"),
        ),
    ],
)
def test_a_contradiction_is_refused_at_its_field(
    changes: dict[str, Any], code: str, field: str, named: tuple[str, ...]
) -> None:
    (problem,) = told(changes)
    assert (problem.code, problem.field, problem.severity) == (code, field, Severity.ERROR)
    assert all(name in problem.message for name in named)
    assert problem.hint


def test_turning_pictures_over_is_a_warning() -> None:
    (problem,) = told({"datasets.0.flip_y": True})
    assert (problem.code, problem.severity) == ("flips_turn_things_over", Severity.WARNING)
    assert problem.field == "datasets.0.flip_y"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.unload_te": True, "training.cache_text_embeddings": False},
        {"datasets.0.mask_dataset": "masks", "datasets.0.control_datasets": ["before", "masks"]},
        {"datasets.0.flip_x": True},
    ],
)
def test_what_goes_together_is_not_complained_about(changes: dict[str, Any]) -> None:
    assert told(changes) == []
