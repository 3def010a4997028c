"""Every request for a job, in every state: it fits, or is refused with 409 and the state."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.moves import move
from backend.jobs.status import ACTIVE, EDITABLE, JobStatus
from tests.backend.installation import job_config
from tests.backend.jobs.test_jobs_api import create, put

S = JobStatus
EVERY = frozenset(JobStatus)
# What fits which states. A stop of what is stopped already is harmless.
FITS: dict[tuple[str, str], frozenset[JobStatus]] = {
    ("POST", "/stop"): ACTIVE | {S.QUEUED, S.STOPPED},
    ("POST", "/queue"): EDITABLE,
    ("PATCH", ""): EDITABLE,
    ("POST", "/move"): frozenset({S.QUEUED}),
    ("PATCH", "/place"): EVERY - ACTIVE,
    ("POST", "/commands"): frozenset({S.RUNNING}),
    ("POST", "/cures/retry"): frozenset({S.FAILED, S.INTERRUPTED}),
    ("DELETE", ""): EVERY,
    ("DELETE", "?files=true"): EVERY,
}


def job_in(client: TestClient, database: Database, status: JobStatus) -> int:
    """A new job, brought into the state as a queue and a worker would; its id."""
    job_id = create(client, job_config(f"job-{status}"))["id"]
    if status == S.DRAFT:
        return job_id
    with database.write() as session:
        move(session, job_id, from_status=S.DRAFT, to_status=S.QUEUED, reason="", queue_order=1)
    if status == S.QUEUED:
        return job_id
    put(database, job_id, status)
    if status in (S.FAILED, S.INTERRUPTED):
        with database.write() as session:
            session.get_one(Job, job_id).error = {
                "code": "lost_process", "message": "", "hint": "", "params": {},
            }  # fmt: skip
    return job_id


def ask(client: TestClient, job_id: int, asked: tuple[str, str], status: JobStatus) -> Any:
    method, path = asked
    bodies: dict[tuple[str, str], dict[str, Any]] = {
        ("PATCH", ""): {"config": job_config(f"job-{status}")},
        ("POST", "/move"): {},
        ("PATCH", "/place"): {"priority": 1},
        ("POST", "/commands"): {"command": "save"},
    }
    return client.request(method, f"/api/jobs/{job_id}{path}", json=bodies.get(asked))


@pytest.mark.parametrize("asked", FITS, ids=lambda asked: " ".join(asked).strip())
def test_a_request_fits_the_state_or_is_refused_with_it(
    client: TestClient, database: Database, asked: tuple[str, str]
) -> None:
    for status in JobStatus:
        job_id = job_in(client, database, status)
        answer = ask(client, job_id, asked, status)
        if status in FITS[asked]:
            assert answer.status_code in (200, 202, 204), f"{status}: {answer.text}"
            continue
        assert answer.status_code == 409, f"{status}: {answer.text}"
        (error,) = answer.json()["errors"]
        assert error["code"] == "wrong_state"
        assert error["params"]["status"] == status
        assert f" is {status}" in error["message"], "the sentence says it too"
        assert error["hint"]
        with database.read() as session:
            assert session.get_one(Job, job_id).status == status, "nothing was changed"


def test_the_state_that_is_said_is_the_one_that_is_shown(
    client: TestClient, database: Database
) -> None:
    """Asked to stop, a job is stopping, before its worker has looked."""
    for status in sorted(ACTIVE):
        job_id = job_in(client, database, status)
        client.post(f"/api/jobs/{job_id}/stop")
        for asked in FITS:
            if asked[0] == "DELETE" or asked[1] == "/stop":
                continue
            answer = ask(client, job_id, asked, status)
            assert answer.status_code == 409, asked
            assert answer.json()["errors"][0]["params"]["status"] == "stopping", asked
