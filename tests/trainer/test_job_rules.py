"""Rules across settings: what each finds, where it points, and that sound jobs pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.short_runs import job_with
from trainer.config import JobConfig
from trainer.errors import Problem, Severity
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems

SOUND: dict[str, Any] = {
    "job": {"training_name": "sound", "trigger_word": "zorvex"},
    "model": {"model_architecture": "tiny"},
    "training": {"steps": 1000, "learning_rate": 0.001},
    "datasets": [{"target_dataset": "cats", "resolutions": [128]}],
    "sample": {"prompts": [{"prompt": "[trigger], a cat"}, {"prompt": "a cat"}]},
}
DEV = {
    "model.model_architecture": "flux2-dev",
    "model.name_or_path": "dev",
    "training.learning_rate": 1e-4,
}


def _job(changes: dict[str, Any]) -> JobConfig:
    return parse_job(job_with(changes, base=SOUND))


def _found(changes: dict[str, Any]) -> set[tuple[str, str | None, Severity]]:
    problems = cross_field_problems(_job(changes))
    assert all(problem.message and problem.hint for problem in problems)
    return {(p.code, p.field, p.severity) for p in problems}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        DEV,
        {"regularization.differential_output_preservation": True},
        {
            "job.trigger_word": "",
            "sample.prompts": [{"prompt": "a cat"}],
            "regularization.blank_prompt_preservation": True,
            "regularization.multiplier": 2.0,
            "regularization.every_n_steps": 4,
            "datasets.0.caption_dropout_rate": 0.0,
        },
        DEV | {"training.optimizer": "prodigy", "training.learning_rate": 1.0},
        DEV | {"training.optimizer": "lion8bit", "training.learning_rate": 2e-5},
        DEV | {"training.optimizer": "adafactor"},
    ],
)
def test_a_sound_job_has_no_problems(changes: dict[str, Any]) -> None:
    assert cross_field_problems(_job(changes)) == []


ERRORS: list[tuple[dict[str, Any], str, str]] = [
    (
        {
            "regularization.differential_output_preservation": True,
            "regularization.blank_prompt_preservation": True,
            "datasets.0.caption_dropout_rate": 0.0,
        },
        "two_preservations",
        "regularization.blank_prompt_preservation",
    ),
    (
        {"job.trigger_word": "[trigger]"},
        "trigger_is_placeholder",
        "job.trigger_word",
    ),
    ({"job.trigger_word": "zorvex "}, "trigger_has_spaces", "job.trigger_word"),
    ({"job.trigger_word": ""}, "placeholder_without_trigger", "sample.prompts.0.prompt"),
    (
        {
            "job.trigger_word": "",
            "datasets.0.default_caption": "[trigger]",
            "sample.prompts": [{"prompt": "a cat"}],
        },
        "placeholder_without_trigger",
        "datasets.0.default_caption",
    ),
    (
        {
            "job.trigger_word": "",
            "sample.prompts": [{"prompt": "a cat"}],
            "regularization.differential_output_preservation": True,
        },
        "preservation_without_trigger",
        "regularization.trigger",
    ),
    (
        {
            "regularization.differential_output_preservation": True,
            "regularization.preservation_class": "a zorvex photo",
        },
        "class_contains_trigger",
        "regularization.preservation_class",
    ),
    (
        {"training.lr_schedule": "cosine", "training.warmup_steps": 1000},
        "warmup_too_long",
        "training.warmup_steps",
    ),
    (
        {"datasets.0.caption_extension": "JPG"},
        "caption_extension_is_picture",
        "datasets.0.caption_extension",
    ),
]


@pytest.mark.parametrize(("changes", "code", "field"), ERRORS, ids=[e[1] + e[2] for e in ERRORS])
def test_a_contradiction_is_an_error_at_its_field(
    changes: dict[str, Any], code: str, field: str
) -> None:
    assert _found(changes) == {(code, field, Severity.ERROR)}


WARNINGS: list[tuple[dict[str, Any], str, str]] = [
    (
        DEV | {"model.model_architecture": "klein-9b"},
        "distilled_model",
        "model.model_architecture",
    ),
    (DEV | {"job.gpu": "cpu"}, "large_model_on_cpu", "job.gpu"),
    (
        {
            "sample.negative_prompt": "a blur",
            "sample.prompts": [{"prompt": "[trigger]", "guidance_scale": 4.0}],
        },
        "no_effect",
        "sample.negative_prompt",
    ),
    (
        {"regularization.blank_prompt_preservation": True},
        "blank_prompt_pulled_both_ways",
        "datasets.0.caption_dropout_rate",
    ),
    (
        {
            "regularization.differential_output_preservation": True,
            "regularization.every_n_steps": 1000,
        },
        "preservation_once",
        "regularization.every_n_steps",
    ),
    ({"regularization.every_n_steps": 2}, "no_effect", "regularization.every_n_steps"),
    (DEV | {"target.linear_rank": 8}, "rank_small", "target.linear_rank"),
    ({"training.learning_rate": 1e-4}, "learning_rate_unusual", "training.learning_rate"),
    (DEV | {"training.learning_rate": 1e-3}, "learning_rate_unusual", "training.learning_rate"),
    (
        DEV | {"training.optimizer": "lion8bit", "training.learning_rate": 2e-4},
        "learning_rate_unusual",
        "training.learning_rate",
    ),
    (
        DEV | {"training.optimizer": "prodigy"},
        "learning_rate_unusual",
        "training.learning_rate",
    ),
    ({"save.save_every": 1001}, "no_save_on_the_way", "save.save_every"),
    ({"sample.prompts": []}, "no_sample_prompts", "sample.prompts"),
    (
        {"datasets.0.caption_dropout_rate": 1},
        "captions_all_dropped",
        "datasets.0.caption_dropout_rate",
    ),
    (
        {
            "regularization.differential_output_preservation": True,
            "regularization.preservation_class": " ",
        },
        "class_blank",
        "regularization.preservation_class",
    ),
    ({"training.warmup_steps": 10}, "no_effect", "training.warmup_steps"),
    ({"training.lr_schedule": "constant_with_warmup"}, "no_effect", "training.lr_schedule"),
    ({"training.ema_decay": 0.5}, "no_effect", "training.ema_decay"),
    ({"regularization.multiplier": 2}, "no_effect", "regularization.multiplier"),
    ({"regularization.trigger": "x"}, "no_effect", "regularization.trigger"),
    (
        {"regularization.preservation_class": "dog"},
        "no_effect",
        "regularization.preservation_class",
    ),
    ({"advanced.scale": 2}, "no_effect", "advanced.scale"),
    (
        {"advanced.do_differential_guidance": True, "advanced.scale": 1},
        "no_effect",
        "advanced.scale",
    ),
    (
        {"advanced.do_differential_guidance": True, "training.loss_type": "mae"},
        "no_effect",
        "advanced.do_differential_guidance",
    ),
    (
        {"sample.walk_seed": True, "sample.prompts": [{"prompt": "a"}]},
        "no_effect",
        "sample.walk_seed",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "field"), WARNINGS, ids=[w[1] + w[2] for w in WARNINGS]
)
def test_what_will_disappoint_is_a_warning_at_its_field(
    changes: dict[str, Any], code: str, field: str
) -> None:
    assert _found(changes) == {(code, field, Severity.WARNING)}


@pytest.mark.parametrize(
    "changes",
    [
        {"training.use_ema": True, "training.ema_decay": 0.5},
        {"training.lr_schedule": "linear", "training.warmup_steps": 999},
        {"sample.walk_seed": True},
        {"advanced.do_differential_guidance": True, "advanced.scale": 2},
        {"regularization.differential_output_preservation": True, "regularization.multiplier": 2},
        {"regularization.differential_output_preservation": True, "regularization.trigger": "cat"},
        {"save.save_every": 1000},
        {"model.name_or_path": "another-tiny"},
    ],
)
def test_a_setting_in_use_is_not_warned_about(changes: dict[str, Any]) -> None:
    assert _found(changes) == set()


def test_a_guidance_scale_on_a_distilled_model_is_said_to_do_nothing() -> None:
    found = _found(
        DEV
        | {
            "model.model_architecture": "klein-4b",
            "sample.guidance_scale": 4,
            "sample.prompts": [{"prompt": "a", "guidance_scale": 1}, {"prompt": "b"}],
        }
    )
    assert ("guidance_ignored", "sample.guidance_scale", Severity.WARNING) in found
    assert len([code for code, _, _ in found if code == "guidance_ignored"]) == 1


def test_the_distilled_warning_names_the_base_model() -> None:
    problems = cross_field_problems(_job(DEV | {"model.model_architecture": "klein-9b"}))
    (warning,) = [p for p in problems if p.code == "distilled_model"]
    assert "klein base 9B" in warning.hint
    assert warning.params == {"base": "klein-base-9b"}


def test_preservation_without_a_trigger_names_both_settings() -> None:
    problems: list[Problem] = cross_field_problems(
        _job(
            {
                "job.trigger_word": "",
                "sample.prompts": [],
                "regularization.differential_output_preservation": True,
            }
        )
    )
    message = problems[0].message
    assert "Trigger (Regularization)" in message
    assert "Trigger Word (Job)" in message


def test_errors_come_before_warnings() -> None:
    problems = cross_field_problems(_job({"job.trigger_word": "", "advanced.scale": 2}))
    assert [p.severity for p in problems] == [Severity.ERROR, Severity.WARNING]
