"""The job schema: what it accepts, what it refuses, and that every field can explain itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from trainer.config import JobConfig
from trainer.errors import JobRefused
from trainer.job_file import job_yaml, parse_job, parse_yaml, read_job_file, write_job_file
from trainer.panels.datasets import Dataset
from trainer.panels.job import JobPanel

MINIMAL = {"job": {"training_name": "cat"}, "datasets": [{"target_dataset": "cats"}]}


def panels() -> dict[str, Any]:
    return {
        name: definition
        for name, definition in JobConfig.model_json_schema()["$defs"].items()
        if "properties" in definition
    }


def changed(**panel_values: Any) -> dict[str, Any]:
    return MINIMAL | panel_values


def test_a_job_needs_only_a_name_and_a_dataset() -> None:
    job = parse_job(MINIMAL)
    assert job.training.steps == 2000
    assert job.lora_alpha == 32.0
    assert job.sample_every == 250


def test_the_ten_panels_stand_in_the_forms_order() -> None:
    assert list(JobConfig.model_fields) == [
        "job",
        "model",
        "quantization",
        "target",
        "training",
        "save",
        "regularization",
        "advanced",
        "datasets",
        "sample",
    ]


@pytest.mark.parametrize("name", sorted(panels()))
def test_every_setting_has_a_label_and_a_help_text(name: str) -> None:
    for key, field in panels()[name]["properties"].items():
        assert field.get("title"), f"{name}.{key} has no label"
        assert len(field.get("description", "")) > 10, f"{name}.{key} does not say what it does"


@pytest.mark.parametrize("name", sorted(panels()))
def test_every_value_of_an_enumeration_has_a_label(name: str) -> None:
    for key, field in panels()[name]["properties"].items():
        values = field.get("enum") or ([field["const"]] if "const" in field else [])
        if values:
            assert set(field["choices"]) == set(values), f"{name}.{key}"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"datasets": MINIMAL["datasets"]}, "job"),
        ({"job": MINIMAL["job"]}, "datasets"),
        (changed(job={"training_name": "a b"}), "job.training_name"),
        (changed(job={"training_name": "../up"}), "job.training_name"),
        (changed(job={"training_name": "-rf"}), "job.training_name"),
        (changed(job={"training_name": "ok", "gpu": "0; rm"}), "job.gpu"),
        (changed(training={"steps": 0}), "training.steps"),
        (changed(training={"learning_rate": "nan"}), "training.learning_rate"),
        (changed(training={"learning_rate": float("inf")}), "training.learning_rate"),
        (changed(training={"epochs": 3}), "training.epochs"),
        (changed(datasets=[]), "datasets"),
        (
            changed(datasets=[{"target_dataset": "a", "resolutions": [100]}]),
            "datasets.0.resolutions.0",
        ),
        (changed(quantization={"transformer": "int3"}), "quantization.transformer"),
        (changed(trainig={}), "trainig"),
    ],
)
def test_a_bad_setting_is_refused_at_its_field(data: dict[str, Any], field: str) -> None:
    with pytest.raises(JobRefused) as refused:
        parse_job(data)
    problem = next(p for p in refused.value.problems if p.field == field)
    assert problem.hint


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(JobRefused) as refused:
        parse_job(changed(training={"steps": -1, "batch_size": 0}, target={"linear_rank": 0}))
    assert {p.field for p in refused.value.problems} == {
        "training.steps",
        "training.batch_size",
        "target.linear_rank",
    }


def test_the_value_at_fault_is_in_the_message() -> None:
    with pytest.raises(JobRefused, match="-17"):
        parse_job(changed(training={"steps": -17}))


@pytest.mark.parametrize(
    ("panel", "values", "message", "hint"),
    [
        (
            "sample",
            {"width": 100},
            "100 is not a multiple of 16.",
            "Give a multiple of 16 from 64 up to 2048, such as 96 or 112.",
        ),
        (
            "sample",
            {"height": 40},
            "40 is not a multiple of 16.",
            "Give a multiple of 16 from 64 up to 2048, such as 64.",
        ),
        (
            "sample",
            {"width": 4096},
            "4096 is above 2048.",
            "Give a multiple of 16 from 64 up to 2048, such as 2048.",
        ),
        (
            "sample",
            {"prompts": [{"prompt": "a", "height": 1000}]},
            "1000 is not a multiple of 16.",
            "Give a multiple of 16 from 64 up to 2048, such as 992 or 1008.",
        ),
        (
            "datasets",
            [{"target_dataset": "a", "resolutions": [100]}],
            "100 is not a multiple of 16.",
            "Give a multiple of 16 from 64 up to 2048, such as 96 or 112.",
        ),
        (
            "sample",
            {"width": "wide"},
            "'wide' is not a whole number.",
            "Give a multiple of 16 from 64 up to 2048.",
        ),
        (
            "sample",
            {"guidance_scale": "1,500"},
            "'1,500' is not a number.",
            "Give a number from 0 up to 30, with a point before decimals and nothing between "
            "thousands.",
        ),
        (
            "job",
            {"training_name": "a", "seed": -1},
            "-1 is below 0.",
            "Give a whole number from 0 up to 4294967295.",
        ),
    ],
)
def test_a_number_out_of_its_limits_is_told_all_of_them(
    panel: str, values: Any, message: str, hint: str
) -> None:
    with pytest.raises(JobRefused) as refused:
        parse_job(changed(**{panel: values}))
    (problem,) = refused.value.problems
    assert (problem.message, problem.hint) == (message, hint)


@pytest.mark.parametrize("name", sorted(panels()))
def test_limits_are_found_for_every_number_of_every_panel(name: str) -> None:
    for key, field in panels()[name]["properties"].items():
        kinds = {choice.get("type") for choice in field.get("anyOf", [field])}
        if not kinds & {"integer", "number"}:
            continue
        bad = {key: "many"}
        place = {
            "SamplePrompt": {"sample": {"prompts": [{"prompt": "a"} | bad]}},
            "Dataset": {"datasets": [{"target_dataset": "a"} | bad]},
            "JobPanel": {"job": {"training_name": "a"} | bad},
        }.get(name) or {name.removesuffix("Panel").lower(): bad}
        with pytest.raises(JobRefused) as refused:
            parse_job(changed(**place))
        (problem,) = refused.value.problems
        assert problem.message.startswith("'many' is not a"), key
        assert re.match(r"Give a .*(from|above) \S+ (up to|below) \S*\d\.", problem.hint), (
            key,
            problem.hint,
        )


def test_a_learning_rate_without_a_dot_is_a_number_in_yaml_too() -> None:
    data = parse_yaml(
        "job: {training_name: a}\ndatasets: [{target_dataset: b}]\ntraining: {learning_rate: 1e-4}"
    )
    assert parse_job(data).training.learning_rate == 1e-4


def test_a_job_survives_the_way_through_yaml(tmp_path: Any) -> None:
    job = parse_job(
        changed(
            job={"training_name": "cat", "trigger_word": "ōkatsu: #1"},
            sample={"prompts": [{"prompt": "[trigger], 'quoted'\nand a second line", "seed": 7}]},
        )
    )
    path = tmp_path / "job.yaml"
    write_job_file(path, job)
    assert read_job_file(path) == job
    assert list(yaml.safe_load(job_yaml(job))) == list(JobConfig.model_fields)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1", "bad_yaml"),
        ("- 1\n- 2", "bad_job_file"),
        ("", "bad_job_file"),
        ("a: !!python/object:os.x {}", "bad_yaml"),
        ("a: 2026-13-01", "bad_yaml"),
        ("a: 0b_", "bad_yaml"),
        ("a: !!int x", "bad_yaml"),
        ("a: !!int ''", "bad_yaml"),
        ("a: !!bool x", "bad_yaml"),
        ("a: !!timestamp x", "bad_yaml"),
        ("[" * 3_000, "bad_yaml"),
    ],
)
def test_a_text_that_is_no_job_is_refused_with_its_reason(text: str, code: str) -> None:
    with pytest.raises(JobRefused) as refused:
        parse_yaml(text)
    assert refused.value.code == code


def test_a_missing_job_file_is_named(tmp_path: Any) -> None:
    with pytest.raises(JobRefused, match=r"nowhere\.yaml"):
        read_job_file(tmp_path / "nowhere.yaml")


def test_panels_are_final_once_checked() -> None:
    job = parse_job(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        job.job.seed = 7  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(job.job, JobPanel)
    assert isinstance(job.datasets[0], Dataset)


@pytest.mark.parametrize("name", ["job", "datasets"])
def test_a_blank_text_that_is_needed_says_so(name: str) -> None:
    blank = {"job": {"training_name": ""}, "datasets": [{"target_dataset": ""}]}
    with pytest.raises(JobRefused) as refused:
        parse_job(MINIMAL | {name: blank[name]})
    assert [p.code for p in refused.value.problems] == ["missing"]
    assert "needed" in refused.value.message


def test_a_plain_form_has_what_most_people_touch_and_something_in_every_panel() -> None:
    schema = JobConfig.model_json_schema()
    panels = {
        name: [key for key, field in model["properties"].items() if field.get("plain")]
        for name, model in schema["$defs"].items()
        if "properties" in model
    }
    assert all(panels.values()), "a panel of the plain form would be empty"
    assert 20 <= sum(map(len, panels.values())) <= 35
    assert {"steps", "learning_rate", "batch_size"} <= set(panels["TrainingPanel"])
