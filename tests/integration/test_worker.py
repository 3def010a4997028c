"""The real worker with the stand-in trainer: what a queue promises."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import Checkpoint, FeedEntry, Job, JobMove, Lease, Metric, Run, Sample
from backend.failures.classes import FailureClass
from backend.failures.service import read_failure
from backend.jobs import queries
from backend.jobs.service import give_command, queue_job, stop_job
from backend.jobs.status import JobStatus
from backend.launchers.local import LocalLauncher
from backend.settings import Settings
from backend.worker import launch
from backend.worker.claim import Identity, claim_next
from backend.worker.loop import Worker
from tests.backend.installation import settings_in
from tests.backend.worker.worker_rows import ANOTHER_BOOT, HOUR, claim_as, worker_row
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
from trainer.job_folder import JobFolder

S = JobStatus
STAYS_INTERRUPTED = {"job": {"resume_after_interruption": False}}


def test_a_job_runs_to_its_end_and_everything_it_made_is_in_the_database(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings)
    with worker(tmp_path):
        job = until_status(database, job_id, S.COMPLETED)
    assert (job.step, job.loss, job.error) == (10, 0.1, None)
    assert job.step_seconds == 0.01
    run = last_run_of(database, job_id)
    assert (run.status, run.exit_code, run.first_step, run.last_step) == ("completed", 0, 0, 10)
    with database.read() as session:
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
        assert [point.step for point in points] == list(range(1, 11))
        assert [point.loss for point in points] == [1 / step for step in range(1, 11)]
        samples = session.execute(select(Sample.step, Sample.prompt_index).order_by(Sample.id))
        assert list(samples) == [(0, 0), (0, 1), (5, 0), (5, 1), (10, 0), (10, 1)]
        saved = session.execute(
            select(Checkpoint.step, Checkpoint.is_final).order_by(Checkpoint.id)
        )
        assert list(saved) == [(5, False), (10, False), (10, True)]
        assert set(session.scalars(select(Checkpoint.size_bytes))) == {10}, "of the LoRA alone"
        moves = session.execute(select(JobMove.from_status, JobMove.to_status).order_by(JobMove.id))
        assert [tuple(move) for move in moves] == [
            (S.DRAFT, S.QUEUED),
            (S.QUEUED, S.STARTING),
            (S.STARTING, S.RUNNING),
            (S.RUNNING, S.COMPLETED),
        ]
        assert session.scalar(select(func.count()).select_from(Lease)) == 0
        detail = queries.read_job(session, settings, job_id)
        assert detail.resumable_from_steps == [5, 10]
        assert detail.thumbnail_url is not None
        logged = [
            line
            for row in session.scalars(select(FeedEntry).where(FeedEntry.name == "log"))
            for line in (row.data or {})["lines"]
        ]
    assert logged == [f"step {step}" for step in range(1, 11)]


def test_after_a_failure_and_a_crash_the_next_job_runs(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    ids = [
        add_job(database, settings, name, name)
        for name in ("fail", "killed", "traceback", "refuse", "ok")
    ]
    with worker(tmp_path):
        until_status(database, ids[-1], S.COMPLETED)
    failed, killed, traceback, refused = (job_of(database, job_id) for job_id in ids[:-1])
    for job in (failed, killed, traceback, refused):
        assert job.status == S.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "out_of_memory"
    assert failed.error["params"]["phase"] == "train"
    assert failed.error["params"]["exit_code"] == 9
    assert killed.error is not None
    assert killed.error["code"] == "crash"
    assert "SIGKILL" in killed.error["message"]
    assert killed.error["params"]["step"] == 3
    assert traceback.error is not None
    tail = traceback.error["params"]["log_tail"]
    assert len(tail) == 30
    assert tail[-1] == "ZeroDivisionError: by the stand-in"
    assert refused.error is not None
    assert refused.error["code"] == "bad_job"
    assert "told to refuse" in refused.error["message"]


def test_a_stop_saves_and_a_requeued_job_goes_on_with_one_curve(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait", training={"steps": 8})
    with worker(tmp_path):
        eventually(lambda: job_of(database, job_id).step == 4, "half of the steps")
        stop_job(database, settings, job_id)
        stop_job(database, settings, job_id)
        stopped = until_status(database, job_id, S.STOPPED)
        assert (stopped.step, stopped.error, stopped.stop_requested_at) == (4, None, None)
        queue_job(database, settings, job_id)
        eventually(lambda: job_of(database, job_id).step == 5, "the next run's first step")
        stop_job(database, settings, job_id)
        until_status(database, job_id, S.STOPPED)
    commands = JobFolder(settings.output_dir, "style").run(1).commands.read_text().splitlines()
    assert [json.loads(line)["command"] for line in commands] == ["stop"]
    with database.read() as session:
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
        assert [(point.step, point.run) for point in points] == [
            (1, 1), (2, 1), (3, 1), (4, 1), (5, 2),
        ]  # fmt: skip
        runs = session.scalars(select(Run).order_by(Run.number)).all()
        assert [(run.number, run.first_step, run.status) for run in runs] == [
            (1, 0, "stopped"),
            (2, 4, "stopped"),
        ]


def test_steps_beyond_the_checkpoint_that_a_run_goes_on_from_leave_the_curve(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    # Killed at step 3, saved at 2: the second run is at 3 as well before it is killed again.
    job_id = add_job(database, settings, behaviour="killed", save={"save_every": 2})
    with worker(tmp_path):
        until_status(database, job_id, S.FAILED)
        queue_job(database, settings, job_id)
        eventually(lambda: last_run_of(database, job_id).number == 2, "a second run")
        until_status(database, job_id, S.FAILED)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Metric)) == 4
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
    assert [(point.step, point.run) for point in points] == [(1, 1), (2, 1), (3, 2)]


def test_save_and_sample_on_request_are_obeyed_once(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait", training={"steps": 6})
    with worker(tmp_path):
        eventually(lambda: job_of(database, job_id).step == 3, "half of the steps")
        give_command(database, job_id, "save")
        give_command(database, job_id, "sample")

        def obeyed() -> bool:
            with database.read() as session:
                saved = session.scalars(select(Checkpoint.step)).all()
                drawn = session.scalars(select(Sample.step).where(Sample.step == 3)).all()
            return list(saved) == [3] and len(drawn) == 2

        eventually(obeyed, "a checkpoint and two samples of step 3")
        stop_job(database, settings, job_id)
        until_status(database, job_id, S.STOPPED)
    lines = JobFolder(settings.output_dir, "style").run(1).commands.read_text().splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["save", "sample", "stop"]


def test_changed_settings_reach_the_trainer_and_are_the_jobs_when_it_goes_on(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="wait", training={"steps": 6})
    with worker(tmp_path):
        eventually(lambda: job_of(database, job_id).step == 3, "half of the steps")
        give_command(database, job_id, "change", {"training.steps": 9, "save.save_every": 4})
        changed = ("training", "steps", 9), ("save", "save_every", 4)
        eventually(
            lambda: all(job_of(database, job_id).config[p][n] == v for p, n, v in changed),
            "the change in the job's config",
        )
        stop_job(database, settings, job_id)
        until_status(database, job_id, S.STOPPED)


@pytest.mark.parametrize("behaviour", ["hang", "ignore"])
def test_a_trainer_that_does_not_stop_is_ended_with_its_children(
    tmp_path: Path, database: Database, settings: Settings, behaviour: str
) -> None:
    job_id = add_job(database, settings, behaviour=behaviour)
    with worker(tmp_path, stop_patience_seconds=0.3, kill_patience_seconds=0.3):
        eventually(lambda: job_of(database, job_id).step == 2, "two steps")
        child_file = JobFolder(settings.output_dir, "style").run(1).path / "child"
        if behaviour == "ignore":
            eventually(child_file.exists, "a child of the trainer")
        stop_job(database, settings, job_id)
        until_status(database, job_id, S.STOPPED)
    run = last_run_of(database, job_id)
    expected = signal.SIGTERM if behaviour == "hang" else signal.SIGKILL
    assert run.exit_code == -expected
    assert [problem["code"] for problem in run.problems] == ["stop_forced"]
    assert run.process_id is not None
    assert not is_running(run.process_id)
    if behaviour == "ignore":
        child = int(child_file.read_text())
        eventually(lambda: not is_running(child), "the trainer's child is gone")


def test_a_trainer_that_stays_after_its_last_word_is_ended_and_has_completed(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="linger")
    other = add_job(database, settings, "other")
    with worker(tmp_path, stop_patience_seconds=0.3, kill_patience_seconds=0.3):
        until_status(database, other, S.COMPLETED)
    job, run = job_of(database, job_id), last_run_of(database, job_id)
    assert (job.status, job.step, job.error) == (S.COMPLETED, 10, None)
    assert (run.exit_code, run.problems) == (-signal.SIGKILL, [])
    assert run.process_id is not None
    assert not is_running(run.process_id)


def test_a_worker_that_is_killed_and_started_again_finds_its_trainer_and_misses_nothing(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="sleepy")
    with worker(tmp_path) as first:
        until_status(database, job_id, S.RUNNING)
        end(first, signal.SIGKILL)
    run = last_run_of(database, job_id)
    assert run.process_id is not None
    assert is_running(run.process_id), "the trainer goes on without a worker"
    # What it does while nobody looks is told afterwards.
    (JobFolder(settings.output_dir, "style").run(1).path / "go").touch()
    with worker(tmp_path):
        until_status(database, job_id, S.COMPLETED)
    again = last_run_of(database, job_id)
    assert (again.number, again.process_id) == (1, run.process_id)
    with database.read() as session:
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=100).items
        told = [
            item["step"]
            for row in session.scalars(select(FeedEntry).where(FeedEntry.name == "steps"))
            for item in (row.data or {})["items"]
        ]
    assert [point.step for point in points] == list(range(1, 11))
    assert told == list(range(1, 11)), "each step once, across both workers"


def test_a_trainer_that_died_unseen_is_closed_as_interrupted_and_the_next_job_runs(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="hang", **STAYS_INTERRUPTED)
    with worker(tmp_path) as first:
        eventually(lambda: job_of(database, job_id).step == 2, "two steps")
        end(first, signal.SIGKILL)
    process_id = last_run_of(database, job_id).process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)
    eventually(lambda: not is_running(process_id), "the trainer is gone")
    other = add_job(database, settings, "other")
    with worker(tmp_path):
        until_status(database, other, S.COMPLETED)
    job = job_of(database, job_id)
    assert job.status == S.INTERRUPTED
    assert job.error is not None
    assert job.error["code"] == "lost_process"


def test_a_reused_process_id_is_not_taken_for_the_trainer(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="hang", **STAYS_INTERRUPTED)
    with worker(tmp_path) as first:
        eventually(lambda: job_of(database, job_id).step == 2, "two steps")
        end(first, signal.SIGKILL)
    with database.write() as session:
        run = session.scalars(select(Run)).one()
        trainer, run.process_id = run.process_id, os.getpid()  # this process has other ticks
    assert trainer is not None
    os.kill(trainer, signal.SIGKILL)
    with worker(tmp_path):
        until_status(database, job_id, S.INTERRUPTED)


def test_a_trainer_whose_worker_died_before_writing_it_down_is_found_by_its_token(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="sleepy")
    with worker(tmp_path) as first:
        until_status(database, job_id, S.RUNNING)
        end(first, signal.SIGKILL)
    with database.write() as session:
        run = session.scalars(select(Run)).one()
        trainer, run.process_id, run.process_start_ticks = run.process_id, None, None
    (JobFolder(settings.output_dir, "style").run(1).path / "go").touch()
    with worker(tmp_path):
        until_status(database, job_id, S.COMPLETED)
    assert last_run_of(database, job_id).process_id in (trainer, None)


def test_a_run_of_another_boot_is_closed_once_its_folder_is_free(
    database: Database, settings: Settings
) -> None:
    from trainer import folder_lock

    job_id = add_job(database, settings, behaviour="hang", **STAYS_INTERRUPTED)
    claim_as(database, settings, worker_row("gone", machine=ANOTHER_BOOT, beat=now() + HOUR))
    here = Worker(settings, database, LocalLauncher())
    here._presence.sign_on()
    with folder_lock.held(JobFolder(settings.output_dir, "style").lock):
        here.turn()
        assert job_of(database, job_id).status == S.STARTING, "somebody still writes there"
    here.turn()
    assert job_of(database, job_id).status == S.INTERRUPTED


def test_a_trainer_that_ended_does_not_stay_running_since_its_worker_is_frozen(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="sleepy")
    with worker(tmp_path) as frozen:
        until_status(database, job_id, S.RUNNING)
        frozen.send_signal(signal.SIGSTOP)
        (JobFolder(settings.output_dir, "style").run(1).path / "go").touch()
        process_id = last_run_of(database, job_id).process_id
        assert process_id is not None
        eventually(lambda: not is_running(process_id), "the trainer has ended")
        seconds = 0.0
        here = Worker(settings, database, LocalLauncher(), clock=lambda: seconds)
        here.sign_on()
        for _ in range(12):
            assert job_of(database, job_id).status == S.RUNNING
            here.turn()
            seconds += 5.0
        here.turn()
        assert job_of(database, job_id).status == S.COMPLETED
        here.sign_off()
        end(frozen, signal.SIGKILL)
    assert last_run_of(database, job_id).number == 1


def test_two_workers_share_a_queue_and_run_every_job_once(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    ids = [add_job(database, settings, f"job-{n}", training={"steps": 3}) for n in range(6)]
    with worker(tmp_path), worker(tmp_path):
        for job_id in ids:
            until_status(database, job_id, S.COMPLETED)
    with database.read() as session:
        runs = session.execute(select(Run.job_id, Run.number).order_by(Run.job_id))
        assert list(runs) == [(job_id, 1) for job_id in ids]


def test_of_two_claims_at_the_same_moment_one_gets_the_job_and_the_device(
    database: Database, settings: Settings
) -> None:
    add_job(database, settings)
    start = threading.Barrier(2)
    claims: list[object] = []

    def claim(name: str) -> None:
        who = Identity(name, "host", "machine")
        start.wait()
        with database.write() as session:
            claims.append(claim_next(session, settings, who, device="cpu", has_gpus=False))

    threads = [threading.Thread(target=claim, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in claims) == 1


def test_a_device_that_is_leased_takes_no_second_job(
    database: Database, settings: Settings
) -> None:
    add_job(database, settings, "one")
    add_job(database, settings, "two")
    who = Identity("w", "host", "machine")
    take: Callable[[str], object] = lambda device: _claim(database, settings, who, device)  # noqa: E731
    assert take("GPU-a") is None, "both jobs ask for the cpu"
    assert take("cpu") is not None
    assert take("cpu") is None


def _claim(database: Database, settings: Settings, who: Identity, device: str) -> object:
    with database.write() as session:
        return claim_next(session, settings, who, device=device, has_gpus=True)


def test_any_means_a_gpu_where_there_is_one(database: Database, settings: Settings) -> None:
    add_job(database, settings, job={"gpu": "any"})
    who = Identity("w", "host", "machine")
    assert _claim(database, settings, who, "cpu") is None
    assert _claim(database, settings, who, "GPU-a") is not None


def test_lines_that_are_no_events_are_reported_once_and_stop_nothing(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, behaviour="garbage")
    with worker(tmp_path):
        until_status(database, job_id, S.COMPLETED)
    assert job_of(database, job_id).step == 10
    codes = [problem["code"] for problem in last_run_of(database, job_id).problems]
    assert sorted(codes) == ["unknown_event", "unreadable_event"]
    with database.read() as session:
        warnings = [w.code for w in queries.read_job(session, settings, job_id).warnings]
    assert {"unknown_event", "unreadable_event"} <= set(warnings)


def test_a_trainer_that_cannot_be_started_fails_its_job_and_frees_the_device(
    tmp_path: Path, database: Database
) -> None:
    settings = settings_in(tmp_path, trainer_command="/no/such/program")
    first = add_job(database, settings, "one")
    here = Worker(settings, database, LocalLauncher())
    here._presence.sign_on()
    here.turn()
    job = job_of(database, first)
    assert job.status == S.FAILED
    assert job.error is not None
    assert job.error["code"] == "launch_failed"
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Lease)) == 0


def test_a_disk_that_is_full_at_the_start_is_no_crash(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launch, "write_job_file", full)
    job_id = add_job(database, settings)
    here = Worker(settings, database, LocalLauncher())
    here.sign_on()
    here.turn()
    found = read_failure(database, settings, job_id)
    assert found is not None
    assert (found.failure_class, found.code) == (FailureClass.DISK_FULL, "disk_full")
    assert "No space left on device" in found.message


def test_a_job_of_an_older_version_is_a_bad_job_and_no_crash(
    database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings)
    with database.write() as session:
        job = session.get_one(Job, job_id)
        job.config = {**job.config, "training": {"steps": 10, "epochs": 3}}
    here = Worker(settings, database, LocalLauncher())
    here.sign_on()
    here.turn()
    assert job_of(database, job_id).status == S.FAILED
    found = read_failure(database, settings, job_id)
    assert found is not None
    assert (found.failure_class, found.code) == (FailureClass.BAD_JOB, "bad_job")
    assert "epochs" in found.message


def test_a_stop_before_the_trainer_is_up_is_obeyed_when_it_is(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = add_job(database, settings, training={"steps": 1000})
    here = Worker(settings, database, LocalLauncher())
    here._presence.sign_on()
    here.turn()
    assert job_of(database, job_id).status == S.STARTING
    stop_job(database, settings, job_id)

    def stopped() -> bool:
        here.turn()
        return job_of(database, job_id).status == S.STOPPED

    eventually(stopped, "the stop is obeyed")
    assert job_of(database, job_id).step < 1000
