"""Jobs found by name, architecture and what holds them back; how many there are; their alarms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.settings import Settings
from backend.worker.alarm_board import write_changes
from backend.worker.alarms import Change
from tests.backend.installation import job_config
from tests.backend.jobs.test_jobs_api import create, put
from trainer.errors import Problem, Severity


def found(client: TestClient, **asked: Any) -> list[str]:
    answer = client.get("/api/jobs", params=asked)
    assert answer.status_code == 200, answer.text
    return [job["training_name"] for job in answer.json()["items"]]


@pytest.fixture
def four(client: TestClient) -> dict[str, int]:
    """Ids by name: two that wait, a draft of another architecture, one that says none."""
    return {
        "Ink-style": create(client, job_config("Ink-style"), queue=True)["id"],
        "pink_lake": create(client, job_config("pink_lake"), queue=True)["id"],
        "portrait": create(
            client, job_config("portrait", model={"model_architecture": "klein-base-4b"})
        )["id"],
        "half": create(client, {"job": {"training_name": "half"}, "model": "later"})["id"],
    }


def test_a_part_of_the_name_finds_jobs_whatever_its_case(
    client: TestClient, four: dict[str, int]
) -> None:
    assert found(client, search="ink") == ["pink_lake", "Ink-style"]
    assert found(client, search=" INK ") == ["pink_lake", "Ink-style"]
    assert found(client, search="_") == ["pink_lake"], "no wildcard of the database"
    assert found(client, search="%") == []


def test_an_architecture_finds_those_that_name_it_and_the_default_those_that_name_none(
    client: TestClient, four: dict[str, int]
) -> None:
    assert found(client, architecture="tiny") == ["pink_lake", "Ink-style"]
    assert found(client, architecture="klein-base-4b") == ["portrait"]
    assert found(client, architecture="flux2-dev") == ["half"]
    assert found(client, architecture="tiny", search="lake", status="queued") == ["pink_lake"]
    assert found(client, architecture="tiny", status="draft") == []


def test_jobs_that_something_holds_back_are_told_from_those_that_could_start(
    client: TestClient, database: Database, four: dict[str, int]
) -> None:
    ink, lake = four["Ink-style"], four["pink_lake"]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    client.patch(f"/api/jobs/{ink}/place", json={"not_before": later})
    assert found(client, status="queued", scheduled=True) == ["Ink-style"]
    assert found(client, status="queued", scheduled=False) == ["pink_lake"]
    client.patch(f"/api/jobs/{ink}/place", json={"not_before": None, "run_after_job_id": lake})
    assert found(client, status="queued", scheduled=True) == ["Ink-style"]
    put(database, lake, JobStatus.COMPLETED)
    assert found(client, status="queued", scheduled=False) == ["Ink-style"]


def test_the_states_under_way_are_asked_for_at_once_one_that_was_asked_to_stop_among_them(
    client: TestClient, database: Database, four: dict[str, int]
) -> None:
    put(database, four["Ink-style"], JobStatus.STARTING)
    put(database, four["pink_lake"], JobStatus.STARTING)
    with database.write() as session:
        session.get_one(Job, four["pink_lake"]).stop_requested_at = datetime.now(UTC)
    counted = client.get("/api/queue").json()["num_jobs"]
    assert (counted["starting"], counted["stopping"]) == (1, 1)
    active = ["starting", "running", "stopping"]
    assert found(client, status=active) == ["pink_lake", "Ink-style"]
    assert found(client, status="running") == []


def test_the_pages_of_a_search_are_whole(client: TestClient, four: dict[str, int]) -> None:
    first = client.get("/api/jobs", params={"search": "ink", "limit": 1}).json()
    rest = client.get(
        "/api/jobs", params={"search": "ink", "limit": 1, "after": first["next"]}
    ).json()
    names = [job["training_name"] for job in first["items"] + rest["items"]]
    assert (names, rest["next"]) == (["pink_lake", "Ink-style"], None)


def test_the_queue_says_how_many_jobs_are_in_which_state(
    client: TestClient, database: Database, four: dict[str, int]
) -> None:
    put(database, four["pink_lake"], JobStatus.RUNNING)
    state = client.get("/api/queue").json()
    assert state["num_jobs"] == {"queued": 1, "running": 1, "draft": 2}
    assert state["architectures"] == ["flux2-dev", "klein-base-4b", "tiny"]
    client.post(f"/api/jobs/{four['pink_lake']}/stop")
    paused = client.post("/api/queue/pause", json={"device": "cpu"}).json()
    assert paused["num_jobs"] == {"queued": 1, "stopping": 1, "draft": 2}
    assert paused["paused"] == ["cpu"]


def test_a_running_job_is_listed_with_its_alarms_until_they_are_over(
    client: TestClient, database: Database, settings: Settings, four: dict[str, int]
) -> None:
    job_id = four["Ink-style"]
    put(database, job_id, JobStatus.RUNNING)
    silence = Problem("no_progress", "Silent.", "Look at it.", severity=Severity.WARNING)

    def change(problem: Problem | None) -> list[str]:
        with database.write() as session:
            run = session.query(Run).filter_by(job_id=job_id).one()
            job = session.get_one(Job, job_id)
            write_changes(session, settings, job, run, [Change("no_progress", problem)])
        listed = client.get("/api/jobs", params={"status": "running"}).json()["items"]
        return [alarm["code"] for alarm in listed[0]["alarms"]]

    assert change(silence) == ["no_progress"]
    assert change(None) == []
    change(silence)
    with database.write() as session:
        move(
            session,
            job_id,
            from_status=JobStatus.RUNNING,
            to_status=JobStatus.FAILED,
            reason="",
        )
    assert client.get(f"/api/jobs/{job_id}").json()["alarms"] == []
