"""Jobs that really ran, their database deleted, and `darkroom rescan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.jobs.service import queue_job, stop_job
from backend.jobs.status import JobStatus
from backend.main import create_app
from backend.settings import Settings
from tests.integration.processes import (
    add_job,
    eventually,
    job_of,
    last_run_of,
    program,
    until_status,
    worker,
)

S = JobStatus
# What a second database numbers anew, and when things were noted in place of when they happened.
# A job's moves are no files: what a person did between the runs is not told by them.
NEW_IN_ANOTHER_DATABASE = {"id", "url", "thumbnail_url", "moves"} | {
    f"{moment}_at" for moment in ("created", "updated", "started", "finished")
}


def answers(settings: Settings) -> dict[str, Any]:
    """All that the API tells of jobs, by training name."""
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        found: dict[str, Any] = {}
        for summary in client.get("/api/jobs").json()["items"]:
            address = f"/api/jobs/{summary['id']}"
            job = client.get(address).json()
            lists = ("metrics", "measurements", "samples", "checkpoints", "log")
            found[job["training_name"]] = {"job": job} | {
                name: client.get(f"{address}/{name}").json()["items"] for name in lists
            }
        return without_what_is_new(found)


def without_what_is_new(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_what_is_new(inner)
            for key, inner in value.items()
            if key not in NEW_IN_ANOTHER_DATABASE
        }
    return [without_what_is_new(inner) for inner in value] if isinstance(value, list) else value


def test_after_a_rescan_an_empty_database_answers_as_the_lost_one_did(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    stopped = add_job(database, settings, "stopped", "wait", training={"steps": 12})
    with worker(tmp_path):
        eventually(lambda: job_of(database, stopped).step == 6, "half of the steps")
        stop_job(database, settings, stopped)
        until_status(database, stopped, S.STOPPED)
        queue_job(database, settings, stopped)
        eventually(lambda: last_run_of(database, stopped).number == 2, "a second run")
        eventually(lambda: job_of(database, stopped).step == 7, "it goes on")
        stop_job(database, settings, stopped)
        others = [add_job(database, settings, name, name) for name in ("ok", "fail", "garbage")]
        until_status(database, others[-1], S.COMPLETED)
    before = answers(settings)
    database.close()
    for file in settings.database_file.parent.glob("darkroom.db*"):
        file.unlink()
    migrate(settings)
    with program(tmp_path, "backend.cli", "rescan") as child:
        said, _ = child.communicate(timeout=200)
    assert "Brought back: stopped, ok, fail, garbage." in said
    after = answers(settings)
    assert list(after) == list(before), "in the order in which they were made"
    for name, told in before.items():
        for what, expected in told.items():
            assert after[name][what] == expected, f"{what} of {name}"


def test_a_training_that_goes_on_without_its_database_is_left_alone(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait")
    with worker(tmp_path):
        eventually(lambda: job_of(database, job_id).step == 5, "half of the steps")
        other = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'other.db'}"})
        migrate(other)
        with program(tmp_path, "backend.cli", "rescan", database_url=other.database_url) as child:
            said, _ = child.communicate(timeout=200)
        assert "Left alone, since they wait or train: style." in said
        assert answers(other) == {}
        stop_job(database, settings, job_id)
        until_status(database, job_id, S.STOPPED)
    with program(tmp_path, "backend.cli", "rescan", database_url=other.database_url) as child:
        said, _ = child.communicate(timeout=200)
    assert answers(other)["style"]["job"]["status"] == "stopped", said
