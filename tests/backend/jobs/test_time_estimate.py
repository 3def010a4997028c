"""How long a job will take is what like jobs took on the same device, and nothing is made up."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Job, Run, Worker
from backend.jobs.time_estimate import estimate_time
from tests.backend.installation import job_config
from trainer.config import JobConfig


def ran(
    session: Session, name: str, config: dict[str, Any], device: str = "cpu", **measured: Any
) -> None:
    values: dict[str, Any] = {"step": 10, "step_seconds": 2.0, "saving_seconds": 1.0}
    job = Job(training_name=name, config=config, **(values | measured))
    session.add(job)
    session.flush()
    session.add(Run(job_id=job.id, number=1, token=name, worker_id="w", host="h", device=device))


def of(**panels: Any) -> JobConfig:
    return JobConfig.model_validate(job_config(**panels))


def test_steps_samplings_and_saves_of_like_jobs_add_up(database: Database) -> None:
    with database.write() as session:
        for name, seconds in [("a", 1.0), ("b", 2.0), ("c", 9.0)]:
            ran(session, name, job_config(name), step_seconds=seconds, sampling_seconds=4.0)
    with database.read() as session:
        found = estimate_time(session, of(training={"steps": 100}, save={"save_every": 50}), "cpu")
    assert found is not None
    assert (found.step_seconds, found.num_jobs) == (2.0, 3)
    # 100 steps x 2 s, samplings at 0, 50 and 100 x 4 s, saves at 50 and 100 x 1 s
    assert found.seconds == 200 + 12 + 2


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"batch_size": 2}},
        {"training": {"data_type": "fp32"}},
        {"quantization": {"transformer": "none"}},
        {"model": {"low_vram": True}},
        {"regularization": {"differential_output_preservation": True}},
        {"advanced": {"compile": True}},
    ],
)
def test_a_job_whose_steps_do_something_else_has_no_estimate(
    database: Database, change: dict[str, Any]
) -> None:
    with database.write() as session:
        ran(session, "a", job_config("a"))
    with database.read() as session:
        assert estimate_time(session, of(), "cpu") is not None
        assert estimate_time(session, of(**change), "cpu") is None


def test_what_a_job_learns_and_how_long_makes_no_difference(database: Database) -> None:
    with database.write() as session:
        ran(session, "a", job_config("a"))
    change = {"training": {"learning_rate": 5e-4, "steps": 900}, "target": {"linear_rank": 64}}
    with database.read() as session:
        assert estimate_time(session, of(**change), "cpu") is not None


def test_another_device_or_two_steps_say_nothing(database: Database) -> None:
    with database.write() as session:
        ran(session, "a", job_config("a"), device="GPU-1")
        ran(session, "b", job_config("b"), step=2)
        ran(session, "c", job_config("c"), step_seconds=None)
    with database.read() as session:
        assert estimate_time(session, of(), "cpu") is None


def test_samplings_count_by_their_denoising_steps_or_not_at_all(database: Database) -> None:
    prompts = [{"prompt": str(number)} for number in range(4)]
    with database.write() as session:
        ran(session, "a", job_config("a"), sampling_seconds=4.0)
    with database.read() as session:
        twice = estimate_time(session, of(sample={"prompts": prompts}), "cpu")
        larger = estimate_time(session, of(sample={"width": 256}), "cpu")
    assert twice is not None
    assert larger is not None
    assert twice.sampling_seconds == 8.0, "four prompts in place of two"
    assert larger.sampling_seconds is None, "pictures of that size were never drawn"


def test_the_plan_tells_the_time_and_needs_no_name(client: TestClient, database: Database) -> None:
    cpu = {"id": "cpu", "name": "p", "memory_total_bytes": 1 << 34, "memory_used_bytes": 0}
    worker: dict[str, Any] = {"host": "h", "machine": "m", "process_start_ticks": 1}
    with database.write() as session:
        session.add(Worker(id="w", process_id=1, devices=[cpu], **worker))
        ran(session, "a", job_config("a"))
    config = job_config("")
    config["datasets"][0]["target_dataset"] = ""
    answer = client.post("/api/jobs/plan", json={"config": config})
    assert answer.status_code == 200, answer.text
    (device,) = answer.json()["devices"]
    assert device["time"]["step_seconds"] == 2.0
    assert device["phases"]
