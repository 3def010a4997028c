"""What a drawing will take is what like pictures took on the same device; nothing is made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Job, Run, Sample, Worker
from backend.drawings.forecast import measured_on, seconds_of
from backend.jobs.work import DRAWING
from tests.backend.installation import job_config
from trainer.config import JobConfig
from trainer.drawing_config import as_job
from trainer.drawing_door import parse_drawing

BEGAN = datetime(2026, 1, 31, 20, 15, tzinfo=UTC)


def config_of(num_pictures: int = 3, **changes: Any) -> dict[str, Any]:
    pictures = [{"prompt": "a circle", "seed": number} for number in range(num_pictures)]
    config = {"model": {"model_architecture": "tiny"}, "sample_steps": 10, "pictures": pictures}
    return config | changes


def job_of(num_pictures: int = 3, **changes: Any) -> JobConfig:
    return as_job(parse_drawing({"name": "drawing", **config_of(num_pictures, **changes)}))


def drew(
    session: Session,
    name: str,
    seconds: list[float],
    device: str = "cpu",
    brought_back: bool = False,
    **changes: Any,
) -> None:
    """A drawing whose pictures came so many seconds after its start."""
    config = config_of(len(seconds), **changes)
    width = config["pictures"][0].get("width", 128)
    job = Job(training_name=name, kind=DRAWING, config=config)
    session.add(job)
    session.flush()
    ended = BEGAN + timedelta(seconds=seconds[-1] + 1)
    run = Run(job_id=job.id, number=1, token=name, worker_id="w", host="h", device=device)
    run.started_at, run.finished_at = BEGAN, ended
    session.add(run)
    session.flush()
    for index, after in enumerate(seconds):
        came = ended + timedelta(days=1) if brought_back else BEGAN + timedelta(seconds=after)
        session.add(
            Sample(
                job_id=job.id,
                run_id=run.id,
                step=0,
                prompt_index=index,
                prompt="a circle",
                seed=index,
                width=width,
                height=128,
                guidance_scale=1.0,
                sample_steps=10,
                path=f"samples/{index}.png",
                created_at=came,
            )
        )


def forecast(database: Database, job: JobConfig, device: str = "cpu") -> float | None:
    with database.read() as session:
        return seconds_of(job, measured_on(session, job, device))


def test_pictures_count_by_their_denoising_steps_and_the_start_once(database: Database) -> None:
    with database.write() as session:
        drew(session, "drawing-0001", [20.0, 25.0, 30.0])
    # 15 s to the first picture's beginning, then half a second for each denoising step
    assert forecast(database, job_of(3)) == pytest.approx(15 + 3 * 5)
    assert forecast(database, job_of(2, sample_steps=20)) == pytest.approx(15 + 2 * 10)


@pytest.mark.parametrize(
    "change",
    [
        {"data_type": "fp32"},
        {"quantization": {"transformer": "none"}},
        {"model": {"model_architecture": "tiny", "low_vram": True}},
        {"pictures": [{"prompt": "a circle", "width": 256}]},
    ],
)
def test_unlike_pictures_say_nothing(database: Database, change: dict[str, Any]) -> None:
    with database.write() as session:
        drew(session, "drawing-0001", [20.0, 25.0])
        drew(session, "drawing-0002", [20.0, 25.0], device="GPU-1", **change)
    assert forecast(database, job_of()) is not None
    assert forecast(database, job_of(**change)) is None
    assert forecast(database, job_of(**change), "GPU-1") is not None


def test_what_a_rescan_brought_back_came_all_at_once_and_is_not_counted(
    database: Database,
) -> None:
    with database.write() as session:
        drew(session, "drawing-0001", [20.0, 25.0], brought_back=True)
    assert forecast(database, job_of()) is None


def test_a_trainings_samplings_tell_it_before_anything_was_drawn(database: Database) -> None:
    prompts = [{"prompt": "a circle"}, {"prompt": "a square"}]
    config = job_config(sample={"prompts": prompts, "sample_steps": 10})
    training = JobConfig.model_validate(config)
    with database.write() as session:
        job = Job(training_name="style", config=config, sampling_seconds=8.0)
        session.add(job)
        session.flush()
        session.add(Run(job_id=job.id, number=1, token="t", worker_id="w", host="h", device="cpu"))
    drawing = job_of(
        model=training.model.model_dump(),
        quantization=training.quantization.model_dump(),
        data_type=training.training.data_type,
    )
    # 8 s for 2 pictures of 10 denoising steps
    assert forecast(database, drawing) == pytest.approx(3 * 10 * 0.4)


def test_the_verdict_tells_memory_and_time_for_each_device(
    client: TestClient, database: Database
) -> None:
    config = config_of()
    with database.write() as session:
        drew(session, "drawing-0001", [20.0, 25.0])
    assert client.post("/api/drawings/validate", json={"config": config}).json()["forecasts"] == []
    with database.write() as session:
        cpu = {"id": "cpu", "name": "p", "memory_total_bytes": 1 << 34, "memory_used_bytes": 0}
        worker: dict[str, Any] = {"host": "h", "machine": "m", "process_start_ticks": 1}
        session.add(Worker(id="w", process_id=1, devices=[cpu], **worker))
    (found,) = client.post("/api/drawings/validate", json={"config": config}).json()["forecasts"]
    assert (found["device"], found["fits"], found["vram_bytes"]) == ("cpu", True, 0)
    assert found["ram_bytes"] > 1 << 20
    assert found["seconds"] == pytest.approx(15 + 3 * 5)
    assert found["num_pictures_measured"] == 1
    refused = client.post("/api/drawings/validate", json={"config": config_of(0)}).json()
    assert (refused["valid"], refused["forecasts"]) == (False, [])
