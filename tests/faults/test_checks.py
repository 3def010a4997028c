"""The checks of a round notice what they are there for: each is shown what is not so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.models import Job, JobMove, Metric, Run
from backend.jobs.status import JobStatus
from backend.trash import entries
from tests.backend.installation import job_config
from tests.faults import checks
from tests.faults.house import (
    HOUSE_VARIABLE,
    WORDS_OF_A_FULL_DISK,
    Child,
    House,
    NotSo,
    errors_in,
    eventually,
    house_in,
)
from tests.faults.scenes import stand_in_scene
from trainer.job_folder import JobFolder

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(600)")
DOWN_TO_COMPLETED = ("queued", "starting", "running", "completed")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_in(tmp_path / "house", prepare=stand_in_scene().prepare) as house:
        yield house


def a_process(house: House, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {HOUSE_VARIABLE: str(house.folder)}
    return subprocess.Popen([*SLEEP, *words], env=environment)


def a_worker_that(house: House, code: str) -> None:
    log = house.folder / "worker-1.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=file)
    house.workers.append(Child(process, log))
    house.logs.append(log)
    process.wait()


def a_job(house: House, status: JobStatus = JobStatus.QUEUED) -> int:
    house.add_job(job_config("night", "chain"))
    with house.database.write() as session:
        session.get_one(Job, house.job_ids[0]).status = status
    return house.job_ids[0]


def a_run(house: House, number: int, **more: object) -> int:
    with house.database.write() as session:
        run = Run(
            job_id=house.job_ids[0],
            number=number,
            token=f"token-{number}",
            worker_id="somebody",
            host="here",
            device="cpu",
            **more,
        )
        session.add(run)
        session.flush()
        return run.id


def test_a_worker_that_ended_by_itself_is_no_forgotten_one(house: House) -> None:
    a_worker_that(house, "raise SystemExit('odd')")
    with pytest.raises(NotSo, match="ended by itself, 1:\nodd"):
        house.live_workers()


def test_a_full_disk_excuses_an_end_only_where_it_was_full(house: House) -> None:
    a_worker_that(house, "raise OSError('No space left on device')")
    with pytest.raises(NotSo, match="No space left"):
        house.refuse_tracebacks()
    house.excuses.update(WORDS_OF_A_FULL_DISK)
    house.refuse_tracebacks()
    assert house.live_workers() == []


def test_every_error_of_a_log_is_found() -> None:
    log = """ready
Traceback (most recent call last):
  File "a.py", line 1
    yield
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3
ValueError: two
  + Exception Group Traceback (most recent call last):
  |   File "b.py", line 4
  | ExceptionGroup: three (1 sub-exception)
"""
    assert errors_in(log) == [
        "KeyError: 1",
        "ValueError: two",
        "ExceptionGroup: three (1 sub-exception)",
    ]


def test_a_child_without_the_output_folder_among_its_words_is_an_orphan(house: House) -> None:
    child = a_process(house)
    eventually(lambda: len(house.left_behind()) == 1, lambda: "it is found", 10)
    assert not house.trainers()
    child.kill()
    child.wait()
    assert not house.left_behind()


@pytest.mark.parametrize("status", [JobStatus.STARTING, JobStatus.RUNNING])
def test_a_job_at_work_without_a_trainer_is_false(house: House, status: JobStatus) -> None:
    a_job(house, status)
    a_run(house, 1)
    assert house.false_claims() == [f"job 1 is {status}, run 1 has no trainer"]


def test_a_trainer_at_work_for_a_job_that_is_not_is_false(house: House) -> None:
    a_job(house)
    a_run(house, 1, status="interrupted")
    child = a_process(house, str(house.settings.output_dir), "--token", "token-1")
    eventually(house.false_claims, lambda: "it is noticed", 10)
    assert f"process {child.pid}" in house.false_claims()[0]
    child.send_signal(signal.SIGKILL)
    child.wait()


def test_a_step_on_the_curve_of_two_runs_is_doubled(house: House) -> None:
    job_id = a_job(house)
    runs = [a_run(house, number) for number in (1, 2)]
    values = dict.fromkeys(
        ("loss", "objective", "learning_rate", "gradient_norm", "step_seconds"), 1.0
    )
    with house.database.write() as session:
        for run_id, step in [(runs[0], 1), (runs[0], 2), (runs[1], 2)]:
            session.add(Metric(job_id=job_id, run_id=run_id, step=step, **values))
    with pytest.raises(NotSo, match=r"several runs: \[\(2, 2\)\]"):
        checks._every_step_is_on_the_curve_once(house, job_id, 2)
    with house.database.write() as session:
        session.get_one(Run, runs[0]).kept_until_step = 1
    checks._every_step_is_on_the_curve_once(house, job_id, 2)


def test_a_job_that_completed_twice_is_told(house: House) -> None:
    job_id = a_job(house)

    def go(*statuses: str) -> None:
        with house.database.write() as session:
            for status in statuses:
                moves = session.query(JobMove).filter_by(job_id=job_id).order_by(JobMove.id).all()
                at = moves[-1].to_status if moves else JobStatus.DRAFT
                session.add(
                    JobMove(
                        job_id=job_id, from_status=at, to_status=JobStatus(status), reason="a test"
                    )
                )
                session.flush()

    go(*DOWN_TO_COMPLETED[1:])  # it was queued as it was made
    checks._moves_are_a_chain(house, job_id)
    go(*DOWN_TO_COMPLETED)
    with pytest.raises(NotSo, match="completed 2 times"):
        checks._moves_are_a_chain(house, job_id)


def test_what_is_left_of_a_deletion_is_told(house: House) -> None:
    job_id = a_job(house)
    checks._nothing_is_left_of_a_deletion(house)
    with house.database.write() as session:
        session.add(Job(training_name="night-again", config={}))
    with pytest.raises(NotSo, match=r"the jobs are .*night-again"):
        checks._nothing_is_left_of_a_deletion(house)
    house.job_ids.append(job_id + 1)
    checks._nothing_is_left_of_a_deletion(house)
    entries.put(
        house.settings.output_dir,
        house.settings.output_dir / "night",
        kind="job",
        training_name="night",
        known={},
    )
    with pytest.raises(NotSo, match=r"still in the trash: .*night-"):
        checks._nothing_is_left_of_a_deletion(house)


def test_a_draft_is_queued_again(house: House) -> None:
    """A job that was restored without a run is one."""
    a_job(house, JobStatus.DRAFT)
    house.queue_again()
    assert house.jobs()[0].status == JobStatus.QUEUED


def test_a_run_that_goes_on_after_the_next_one_began_is_told(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "night")
    for number, began, last in [(1, 10, 20), (2, 30, 40)]:
        run = folder.run(number)
        run.path.mkdir(parents=True)
        run.job_file.touch()
        run.events.touch()
        os.utime(run.job_file, (began, began))
        os.utime(run.events, (last, last))
    checks._runs_do_not_overlap(folder)
    os.utime(folder.run(1).events, (35, 35))
    with pytest.raises(NotSo, match="run 1 went on after run 2"):
        checks._runs_do_not_overlap(folder)
