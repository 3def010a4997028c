"""What may be asked of a running trainer, as the API names and lists it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.status import JobStatus
from tests.backend.installation import job_config


@pytest.fixture
def job_id(client: TestClient, database: Database) -> int:
    """A job that a worker runs."""
    created = client.post("/api/jobs", json={"config": job_config(), "queue": True}).json()["id"]
    with database.write() as session:
        session.get_one(Job, created).status = JobStatus.RUNNING
    return created


def test_the_schema_names_what_a_change_may_set_and_the_door_agrees(
    client: TestClient, job_id: int
) -> None:
    config = client.get(f"/api/jobs/{job_id}").json()["config"]
    changeable = client.get("/api/job-schema").json()["changeable"]
    assert {"training.steps", "sample.prompts", "sample.sample_every"} <= set(changeable)
    for path in (
        f"{panel}.{name}" for panel, v in config.items() if panel != "datasets" for name in v
    ):
        panel, _, name = path.partition(".")
        change = {"command": "change", "settings": {path: config[panel][name]}}
        status = client.post(f"/api/jobs/{job_id}/commands", json=change).status_code
        assert status == (202 if path in changeable else 422), path


def test_what_was_asked_of_a_trainer_is_listed_newest_first(
    client: TestClient, job_id: int
) -> None:
    address = f"/api/jobs/{job_id}/commands"
    client.post(address, json={"command": "save"})
    client.post(address, json={"command": "change", "settings": {"training.steps": 30}})
    items = client.get(address).json()["items"]
    assert [(c["command"], c["outcome"], c["settings"]) for c in items] == [
        ("change", "waiting", {"training.steps": 30}),
        ("save", "waiting", {}),
    ]
