"""What the door says about the Target panel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.short_runs import job_with
from trainer.errors import JobRefused, Severity
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems


def codes_of(changes: dict[str, Any]) -> dict[str, str | None]:
    """Code to field of the problems that the settings alone show."""
    problems = cross_field_problems(parse_job(job_with(changes)))
    return {problem.code: problem.field for problem in problems}


def test_a_pattern_that_names_no_layer_is_refused_with_names_that_are_there() -> None:
    job = parse_job(
        job_with({"target.layers": "pattern", "target.layer_pattern": "double_blocks.*"})
    )
    problem = next(p for p in cross_field_problems(job) if p.field == "target.layer_pattern")
    assert problem.severity == Severity.ERROR
    assert problem.code == "layer_pattern_matches_nothing"
    assert "double_blocks.*" in problem.message
    assert "transformer_blocks.0.attn.to_q" in problem.hint


def test_a_blank_pattern_is_refused_and_one_that_names_layers_is_not() -> None:
    assert "layer_pattern_blank" in codes_of({"target.layers": "pattern"})
    named = {"target.layers": "pattern", "target.layer_pattern": "*.to_q"}
    assert not {"layer_pattern_blank", "layer_pattern_matches_nothing"} & codes_of(named).keys()


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"target.lokr_factor": 8}, "target.lokr_factor"),
        ({"target.lokr_full_rank": True}, "target.lokr_full_rank"),
        ({"target.layer_pattern": "*.to_q"}, "target.layer_pattern"),
        (
            {
                "target.target_type": "lokr",
                "target.lokr_full_rank": True,
                "target.linear_rank": 32,
                "target.linear_alpha": 4.0,
            },
            "target.linear_alpha",
        ),
        ({"target.target_type": "lokr", "save.key_format": "comfyui"}, "save.key_format"),
    ],
)
def test_a_setting_that_does_nothing_here_is_a_warning(changes: dict[str, Any], idle: str) -> None:
    problems = [
        problem
        for problem in cross_field_problems(parse_job(job_with(changes)))
        if problem.code == "no_effect"
    ]
    assert [problem.field for problem in problems] == [idle]


@pytest.mark.parametrize(
    ("factor", "fits"), [(2, True), (8, True), (64, True), (6, False), (1, False)]
)
def test_a_lokr_factor_is_a_power_of_two(factor: int, fits: bool) -> None:
    job = job_with({"target.target_type": "lokr", "target.lokr_factor": factor})
    if fits:
        assert parse_job(job).target.lokr_factor == factor
        return
    with pytest.raises(JobRefused) as refused:
        parse_job(job)
    problem = refused.value.problems[0]
    assert problem.field == "target.lokr_factor"
    assert str(factor) in problem.message


def test_a_dropout_that_hides_most_is_a_warning() -> None:
    assert codes_of({"target.dropout": 0.5})["dropout_unusual"] == "target.dropout"
    assert "dropout_unusual" not in codes_of({"target.dropout": 0.1})
