"""Drawings with the real worker and the stand-in trainer: what a queue promises of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.models import Job, Lease
from backend.drawings.queries import read_drawing
from backend.drawings.schemas import Drawing
from backend.drawings.service import create_drawing
from backend.jobs.service import queue_job, stop_job
from backend.jobs.status import JobStatus
from backend.launchers.local import LocalLauncher
from backend.settings import Settings
from backend.worker.loop import Worker
from tests.integration.processes import (
    end,
    eventually,
    is_running,
    job_of,
    last_run_of,
    until_status,
    worker,
)
from trainer.job_file import read_yaml
from trainer.job_folder import JobFolder

S = JobStatus


def add_drawing(
    database: Database, settings: Settings, behaviour: str, num_pictures: int = 4
) -> int:
    config: dict[str, Any] = {
        "model": {"model_architecture": "tiny"},
        "gpu": "cpu",
        "trigger_word": behaviour,
        "pictures": [{"prompt": f"picture {n}"} for n in range(num_pictures)],
    }
    return create_drawing(database, settings, config, priority=0).id


def drawing_of(database: Database, settings: Settings, drawing_id: int) -> Drawing:
    with database.read() as session:
        return read_drawing(session, settings, drawing_id)


def states(drawing: Drawing) -> list[str]:
    return [picture.state for picture in drawing.pictures]


@contextmanager
def here(database: Database, settings: Settings) -> Iterator[Worker]:
    """A worker that takes its turns in this process."""
    own = Worker(settings, database, LocalLauncher())
    own.sign_on()
    yield own
    own.sign_off()


def turn_until(own: Worker, database: Database, job_id: int, status: JobStatus) -> None:
    def reached() -> bool:
        own.turn()
        return job_of(database, job_id).status == status

    eventually(reached, f"job {job_id} is {status}")


def test_a_drawing_is_drawn_and_its_device_is_free_again(
    database: Database, settings: Settings
) -> None:
    drawing_id = add_drawing(database, settings, "picky")
    with here(database, settings) as own:
        turn_until(own, database, drawing_id, S.COMPLETED)
    drawing = drawing_of(database, settings, drawing_id)
    assert states(drawing) == ["drawn", "failed", "drawn", "drawn"]
    assert drawing.pictures[1].message == (
        "Picture 2 was not drawn: ValueError: odd. Change its size or its LoRA, and draw it again."
    )
    assert (drawing.step, drawing.total_steps) == (3, 4)
    assert drawing.warnings[0].field == "pictures.1"
    folder = JobFolder(settings.output_dir, drawing.training_name)
    assert read_yaml(folder.job_file)["name"] == drawing.training_name
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Lease)) == 0


def test_a_stopped_drawing_goes_on_with_what_is_missing(
    database: Database, settings: Settings
) -> None:
    drawing_id = add_drawing(database, settings, "wait")
    with here(database, settings) as own:

        def one_is_drawn() -> bool:
            own.turn()
            return job_of(database, drawing_id).step == 1

        eventually(one_is_drawn, "the first picture is there")
        stop_job(database, settings, drawing_id)
        turn_until(own, database, drawing_id, S.STOPPED)
        drawing = drawing_of(database, settings, drawing_id)
        assert states(drawing) == ["drawn", "waiting", "waiting", "waiting"]
        first = drawing.pictures[0].sample
        assert first is not None
        queue_job(database, settings, drawing_id)
        JobFolder(settings.output_dir, drawing.training_name).sample(0, 1).write_bytes(b"")
        turn_until(own, database, drawing_id, S.COMPLETED)
    drawing = drawing_of(database, settings, drawing_id)
    again = drawing.pictures[0].sample
    assert again is not None
    assert again.id == first.id, "it was not drawn twice"
    assert states(drawing) == ["drawn", "failed", "drawn", "drawn"]
    assert [run.first_step for run in drawing.runs] == [0, 1]


def test_a_drawing_whose_trainer_vanished_resumes_by_itself_behind_what_is_drawn(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    drawing_id = add_drawing(database, settings, "wait", num_pictures=2)
    with worker(tmp_path) as child:
        eventually(lambda: job_of(database, drawing_id).step == 1, "the first picture is there")
        end(child)
    process_id = last_run_of(database, drawing_id).process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)  # while no worker looks, so nobody learns an exit code
    eventually(lambda: not is_running(process_id), "the trainer is gone")

    def goes_on() -> bool:
        run = last_run_of(database, drawing_id)
        return run.number == 2 and run.first_step is not None

    with worker(tmp_path):
        eventually(goes_on, "it goes on by itself")
        assert last_run_of(database, drawing_id).first_step == 1
        stop_job(database, settings, drawing_id)
        until_status(database, drawing_id, S.STOPPED)


def test_a_drawing_that_runs_out_of_memory_says_so_and_keeps_what_is_drawn(
    database: Database, settings: Settings
) -> None:
    drawing_id = add_drawing(database, settings, "fail")
    with here(database, settings) as own:
        turn_until(own, database, drawing_id, S.FAILED)
    drawing = drawing_of(database, settings, drawing_id)
    assert drawing.error is not None
    assert drawing.error.code == "out_of_memory"
    assert states(drawing) == ["drawn", "drawn", "failed", "failed"]
    assert drawing.pictures[3].message == drawing.error.message
    assert drawing.step == 2


def test_a_job_of_an_older_version_fails_by_name_and_the_drawing_behind_it_is_drawn(
    database: Database, settings: Settings
) -> None:
    old = add_drawing(database, settings, "ok")
    with database.write() as session:
        job = session.get_one(Job, old)
        job.config = {**job.config, "pictures": []}
    drawing_id = add_drawing(database, settings, "ok", num_pictures=1)
    with here(database, settings) as own:
        turn_until(own, database, drawing_id, S.COMPLETED)
    error = job_of(database, old).error
    assert error is not None
    assert error["code"] == "bad_job"
