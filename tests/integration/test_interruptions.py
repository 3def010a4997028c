"""A trainer that vanished: the job goes on by itself, until that leads nowhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Checkpoint, Job, JobMove, Run
from backend.jobs import queries
from backend.jobs.schemas import JobToQueue
from backend.jobs.service import queue_job, stop_job
from backend.jobs.status import JobStatus
from backend.launchers.launcher import TrainerProcess
from backend.launchers.local import LocalLauncher
from backend.settings import Settings
from backend.worker.loop import Worker
from tests.integration.processes import (
    add_job,
    end,
    eventually,
    is_running,
    job_of,
    last_run_of,
    until_status,
    worker,
)
from tests.stand_in_trainer import chain_after, read_chain
from trainer import memory_kills
from trainer.job_folder import JobFolder

S = JobStatus


def vanish(database: Database, job_id: int, child: object) -> None:
    """Worker and trainer die, as when the machine loses power."""
    run = last_run_of(database, job_id)
    end(child, signal.SIGKILL)  # pyright: ignore[reportArgumentType]
    assert run.process_id is not None
    os.kill(run.process_id, signal.SIGKILL)
    eventually(lambda: not is_running(run.process_id or 0), "the trainer is gone")


def test_after_an_interruption_the_job_goes_on_by_itself_and_before_the_others(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait", training={"steps": 12})
    other = add_job(database, settings, "other")
    with worker(tmp_path) as first:
        eventually(lambda: job_of(database, job_id).step == 6, "half of the steps, saved at 5")
        vanish(database, job_id, first)
    with worker(tmp_path):
        eventually(lambda: last_run_of(database, job_id).number == 2, "a second run")
        eventually(lambda: job_of(database, job_id).step == 6, "it goes on from step 5")
        assert job_of(database, other).status == S.QUEUED, "it was there before"
        stop_job(database, settings, job_id)
        until_status(database, other, S.COMPLETED)
    with database.read() as session:
        moves = session.scalars(select(JobMove).where(JobMove.job_id == job_id)).all()
        reasons = [move.reason for move in moves if move.to_status == S.QUEUED]
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
    assert reasons[-1] == "resumes by itself after an interruption (1 of 3 tries)"
    assert [point.step for point in points] == list(range(1, 7))


def test_a_trainer_that_the_machine_told_to_end_goes_on_by_itself_and_loses_no_step(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="chain", training={"steps": 400})
    with worker(tmp_path):
        eventually(lambda: job_of(database, job_id).step >= 3, "some steps")
        first = last_run_of(database, job_id)
        assert first.process_id is not None
        os.kill(first.process_id, signal.SIGTERM)
        until_status(database, job_id, S.COMPLETED)
    last = last_run_of(database, job_id)
    assert last.number == 2
    with database.read() as session:
        ended = session.get_one(Run, first.id)
    assert (ended.status, ended.exit_code) == ("interrupted", 3)
    assert last.first_step == ended.last_step, "it had saved"
    result = JobFolder(settings.output_dir, "style").result
    assert read_chain(result) == chain_after(400)


class Vanishing(LocalLauncher):
    """Every trainer is killed before its first word, and nobody learns how it ended."""

    def start(self, order):  # type: ignore[no-untyped-def]
        started = super().start(order)
        child = self._children.pop(started.process_id)
        child.kill()
        child.wait()
        return TrainerProcess(started.process_id, started.start_ticks, started.token)


def test_a_job_that_gets_nowhere_stays_interrupted_after_three_tries_and_says_so(
    database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings)
    here = Worker(settings, database, Vanishing())
    here._presence.sign_on()

    def is_given_up() -> bool:
        here.turn()
        return job_of(database, job_id).status == S.INTERRUPTED

    eventually(is_given_up, "it stays interrupted")
    here.turn()
    assert job_of(database, job_id).status == S.INTERRUPTED
    with database.read() as session:
        runs = session.scalars(select(Run).where(Run.job_id == job_id)).all()
        shown = queries.read_job(session, settings, job_id)
    assert [run.status for run in runs] == ["interrupted"] * 3
    assert "interrupted_again" in [warning.code for warning in shown.warnings]
    assert shown.error is not None
    assert shown.error.code == "lost_process"


@pytest.mark.parametrize(
    ("begun", "saved", "goes_on"),
    [
        pytest.param((0, 0, 5, 5), 5, True, id="two tries from step 5"),
        pytest.param((0, None, None), 5, True, id="the first saved, then two that only loaded"),
        pytest.param((0, None, None, None), 5, False, id="three that only loaded"),
        pytest.param((0, None, None), None, False, id="none saved anything"),
        pytest.param((5, 5, None, 5), 5, False, id="one of them did not come to say where"),
    ],
)
def test_only_runs_without_progress_are_counted_together(
    database: Database,
    settings: Settings,
    begun: tuple[int | None, ...],
    saved: int | None,
    goes_on: bool,
) -> None:
    from backend.worker.interruption import resume_by_itself

    job_id = add_job(database, settings)
    with database.write() as session:
        for number, first_step in enumerate(begun, start=1):
            session.add(
                Run(
                    job_id=job_id,
                    number=number,
                    token="t",
                    worker_id="w",
                    host="h",
                    device="cpu",
                    status="interrupted",
                    first_step=first_step,
                )
            )
        session.flush()
        last = session.scalars(select(Run).order_by(Run.number.desc()).limit(1)).one()
        if saved is not None:
            session.add(
                Checkpoint(job_id=job_id, run_id=last.id, step=saved, path="x", size_bytes=1)
            )
        job = session.get_one(Job, job_id)
        job.status = S.INTERRUPTED
        assert resume_by_itself(session, job, last) == goes_on
        assert job.status == (S.QUEUED if goes_on else S.INTERRUPTED)


def test_a_job_that_does_not_want_it_stays_interrupted(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait", job={"resume_after_interruption": False})
    with worker(tmp_path) as first:
        eventually(lambda: job_of(database, job_id).step == 5, "half of the steps")
        vanish(database, job_id, first)
    with worker(tmp_path):
        until_status(database, job_id, S.INTERRUPTED)


def test_a_run_begins_where_the_person_said_and_the_next_at_the_newest_again(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(
        database, settings, behaviour="chain", training={"steps": 9}, save={"save_every": 3}
    )
    with worker(tmp_path):
        until_status(database, job_id, S.COMPLETED)
        whole = JobFolder(settings.output_dir, "style").result.read_bytes()
        queue_job(database, settings, job_id, JobToQueue(resume_from_step=3))
        eventually(lambda: last_run_of(database, job_id).number == 2, "a second run")
        until_status(database, job_id, S.COMPLETED)
        again = last_run_of(database, job_id)
        assert (again.first_step, again.last_step) == (3, 9)
        assert JobFolder(settings.output_dir, "style").result.read_bytes() == whole
        assert job_of(database, job_id).resume_from_step is None, "the choice was for one run"
        queue_job(database, settings, job_id, JobToQueue(resume_from_step=0))
        eventually(lambda: last_run_of(database, job_id).number == 3, "a third run")
        until_status(database, job_id, S.COMPLETED)
        assert last_run_of(database, job_id).first_step == 0
    with database.read() as session:
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
    assert [(point.step, point.run) for point in points] == [(step, 3) for step in range(1, 10)]


def test_a_trainer_that_the_system_killed_for_lack_of_memory_failed_for_it(
    tmp_path: Path, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("oom_kill 3\n")
    monkeypatch.setattr(memory_kills, "_COUNTS", vmstat)
    job_id = add_job(database, settings, behaviour="hang")
    here = Worker(settings, database, LocalLauncher())
    here.sign_on()

    def has_turned_until(reached: Callable[[Job], bool]) -> bool:
        here.turn()
        return reached(job_of(database, job_id))

    eventually(lambda: has_turned_until(lambda job: job.step == 2), "two steps")
    process_id = last_run_of(database, job_id).process_id
    assert process_id is not None
    vmstat.write_text("oom_kill 4\n")
    os.kill(process_id, signal.SIGKILL)
    eventually(lambda: has_turned_until(lambda job: job.status == S.FAILED), "it has failed")
    error = job_of(database, job_id).error
    assert error is not None
    params = error["params"]
    assert (error["code"], params["device"], params["phase"]) == ("out_of_memory", "host", "train")
    assert 0 < params["peak_bytes"] < params["available_bytes"]
    assert last_run_of(database, job_id).exit_code == -signal.SIGKILL
