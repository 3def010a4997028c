"""Job files over HTTP: ours and AI Toolkit's, with an account of what was carried and what not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from tests.backend.installation import job_config


def imported(client: TestClient, data: Any) -> dict[str, Any]:
    text = data if isinstance(data, str) else yaml.safe_dump(data)
    answer = client.post("/api/jobs/import", json={"text": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_job_of_ai_toolkit_becomes_a_config_with_an_account(client: TestClient) -> None:
    process = {
        "type": "sd_trainer",
        "datasets": [{"folder_path": "/data/shapes", "shuffle_tokens": True}],
        "train": {"steps": 900},
    }
    found = imported(client, {"config": {"name": "ink", "process": [process]}})
    assert found["source"] == "ai_toolkit"
    assert found["config"]["training"] == {"steps": 900}
    assert {"theirs": "train.steps", "ours": "training.steps", "value": 900, "note": ""} in (
        found["carried"]
    )
    (left,) = found["left_out"]
    assert (left["theirs"], left["matters"]) == ("datasets.0.shuffle_tokens", True)


def test_a_job_of_ours_comes_back_as_it_is(client: TestClient) -> None:
    found = imported(client, job_config())
    assert (found["source"], found["config"]) == ("darkroom", job_config())
    assert found["left_out"] == []


def test_settings_of_another_version_are_listed_and_taken_out(client: TestClient) -> None:
    config = job_config(training={"steps": 10, "magic": 3})
    config["datasets"][0]["sparkle"] = True
    config["extra"] = {"a": 1}
    found = imported(client, config)
    assert {one["theirs"] for one in found["left_out"]} == {
        "training.magic",
        "datasets.0.sparkle",
        "extra",
    }
    assert found["config"] == job_config()


def test_what_is_no_job_is_said_with_the_reason(client: TestClient) -> None:
    for text, code in [
        ("a: [1", "bad_yaml"),
        ("model_spec:\n  x: 1\n", "no_job_file"),
        ("config:\n  process:\n    - type: extract\n", "no_training_in_file"),
    ]:
        found = imported(client, text)
        assert (found["source"], found["config"]) == (None, None)
        assert [error["code"] for error in found["errors"]] == [code]


@pytest.mark.parametrize(
    "process",
    [
        {"datasets": {999_999_999: {"folder_path": "x"}}},
        {"network": None},
        {"sample": {"prompts": 5}},
        {"sample": {"prompts": ["a cat --m nan --l inf"]}},
        {"train": {"lr": "nan", "steps": "1e400"}, "model": {"arch": {}, "name_or_path": []}},
    ],
)
def test_a_job_of_ai_toolkit_with_the_wrong_thing_in_it_is_answered(
    client: TestClient, process: dict[str, Any]
) -> None:
    found = imported(client, {"config": {"process": [{"type": "sd_trainer", **process}]}})
    assert (found["source"], found["errors"]) == ("ai_toolkit", [])


def test_settings_whose_names_hold_dots_are_taken_out_as_they_are(client: TestClient) -> None:
    config = job_config(training={"steps": 10, "a.b": 1, "steps.more": 2}) | {"training.steps": 3}
    found = imported(client, config)
    assert {one["theirs"] for one in found["left_out"]} == {
        "training.a.b",
        "training.steps.more",
        "training.steps",
    }
    assert found["config"] == job_config()


def test_many_unknown_settings_are_taken_out_at_once(client: TestClient) -> None:
    """One at a time, each after a look at all, took a minute for 1,500."""
    unknown = {f"magic_{number}": number for number in range(1500)}
    found = imported(client, job_config(training={"steps": 10, **unknown}))
    assert len(found["left_out"]) == 1500
    assert found["config"] == job_config()
