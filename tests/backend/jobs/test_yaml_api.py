"""A job as YAML, both ways, with the line of whatever is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend.installation import job_config
from trainer.config import JobConfig


def read(client: TestClient, text: str) -> dict[str, Any]:
    answer = client.post("/api/jobs/from-yaml", json={"text": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_job_goes_into_yaml_and_back_unchanged(client: TestClient) -> None:
    config = JobConfig.model_validate(job_config()).model_dump(mode="json")
    text = client.post("/api/jobs/to-yaml", json={"config": config}).json()["text"]
    found = read(client, text)
    assert (found["config"], found["errors"]) == (config, [])
    lines = text.splitlines()
    for path in ("job.training_name", "training.steps", "datasets.0.target_dataset"):
        assert path.rpartition(".")[2] in lines[found["lines"][path] - 1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("job:\n  training_name: [a\nsave: 1\n", 3),
        ("job:\n  name: *nowhere\n", 2),
        ("a: &a [1]\nb: *a\n", 2),
        ("just words", None),
        ("", None),
        ("training:\n  steps: .nan\n", None),
        ("job:\n  when: 2026-13-45\n", None),
        ("? [1, 2]\n: 3\n", 1),
        ("a: " + "[" * 5000, 1),
        ("a:\n  - " + "- " * 50_000, 2),
        ("a: 1\nb: 1" + ":1" * 200 + ".0", 2),
        ("a: !!int '1" + ":1" * 200_000 + "'", 1),
        ("a: 1\nb: [" + "1," * 200_000 + "]", 2),
        ("a: 0x" + "f" * 5000, None),
        ('a: "\\ud800"', None),
    ],
)
def test_what_is_no_job_is_said_with_its_line(
    client: TestClient, text: str, line: int | None
) -> None:
    found = read(client, text)
    assert found["config"] is None
    (error,) = found["errors"]
    assert error["message"]
    assert error["params"].get("line") == line


@pytest.mark.parametrize("value", ["'" + "1" * 200 + "'", "word " * 2000, "1.5e-05"])
def test_long_texts_are_no_long_numbers(client: TestClient, value: str) -> None:
    assert read(client, f"a: {value}")["errors"] == []


def test_what_json_cannot_say_becomes_text(client: TestClient) -> None:
    config = read(client, "job:\n  when: 2026-01-31\n  7: x\n")["config"]
    assert config == {"job": {"when": "2026-01-31", "7": "x"}}


def test_a_text_too_long_is_refused(client: TestClient) -> None:
    answer = client.post("/api/jobs/from-yaml", json={"text": "a" * 500_001})
    assert answer.status_code == 422
