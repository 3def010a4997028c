"""What goes wrong. Each fault strikes once and returns what it did, for the record."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from backend.db.engine import BUSY_TIMEOUT_MS
from backend.db.models import Job, Run
from backend.errors import Conflict
from backend.jobs import queries, waiting
from backend.jobs.service import stop_job
from backend.jobs.status import ACTIVE, JobStatus
from tests.faults.house import (
    CALM_SECONDS,
    WORDS_OF_A_FULL_DISK,
    WORDS_OF_A_LOCK,
    House,
    NotSo,
    eventually,
)
from trainer.job_folder import JobFolder

Fault = Callable[[House, random.Random], str]
HOUR_SECONDS = 3600.0
# How a fault begins what it says where this system does not let it strike.
NOT_POSSIBLE_HERE = "not possible here"
# How it begins where there was nothing to strike at.
NOTHING_THERE = "nothing there"
# In a job's folder: steps of the checkpoints that a fault damaged. Nobody need have noticed.
DAMAGED = "damaged-by-a-fault.txt"
# About as long as a deletion or a restoration takes: a death strikes in it or right after.
LONGEST_LIFE_SECONDS = 0.1
# Each costs a round a dozen seconds.
SHARE_OF_LONG_LOCKS = 0.2


def kill_worker(house: House, rng: random.Random) -> str:
    """A worker dies; another comes a moment later."""
    number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    workers = list(house.live_workers())
    if workers:
        house.end_worker(rng.choice(workers), number)
    time.sleep(rng.uniform(0, 0.5))
    if not house.live_workers():
        house.start_worker()
    return f"{number.name} to a worker" if workers else f"{NOTHING_THERE}: a worker to kill"


def freeze_worker(house: House, rng: random.Random) -> str:
    """A worker hangs for a while and then goes on, as on a machine that swaps."""
    seconds = rng.uniform(0.1, 1.5)
    workers = house.live_workers()
    if not workers:
        return f"{NOTHING_THERE}: a worker to freeze"
    child = rng.choice(workers)
    child.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    child.process.send_signal(signal.SIGCONT)
    return f"a worker frozen for {seconds:.1f} s"


def second_worker(house: House, rng: random.Random) -> str:
    """Somebody starts a worker although one runs."""
    del rng
    if len(house.live_workers()) >= 2:
        return f"{NOTHING_THERE}: room for another worker"
    house.start_worker()
    return "a second worker"


def wrong_clock(house: House, rng: random.Random) -> str:
    """The next worker's clock was turned, back or ahead."""
    hours = rng.choice([-24, -1, 1, 24])
    for child in list(house.live_workers()):
        house.end_worker(child, signal.SIGKILL)
    house.start_worker(clock_seconds=hours * HOUR_SECONDS)
    return f"a worker whose clock is off by {hours} h"


def kill_server(house: House, rng: random.Random) -> str:
    """The server dies; somebody starts it again a moment later."""
    number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    was_there = house.server is not None
    house.end_server(number)
    time.sleep(rng.uniform(0, 0.5))
    house.start_server()
    return f"{number.name} to the server" if was_there else f"{NOTHING_THERE}: a server to kill"


def freeze_server(house: House, rng: random.Random) -> str:
    """The server hangs for a while and then goes on."""
    seconds = rng.uniform(0.1, 1.5)
    house.start_server()
    assert house.server is not None
    house.server.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    house.server.process.send_signal(signal.SIGCONT)
    return f"the server frozen for {seconds:.1f} s"


def kill_trainer(house: House, rng: random.Random) -> str:
    """A trainer is killed, as by a system that runs out of memory."""
    return _signal_trainer(house, rng, signal.SIGKILL)


def terminate_trainer(house: House, rng: random.Random) -> str:
    """A trainer is asked to end, as by a system that shuts down."""
    return _signal_trainer(house, rng, signal.SIGTERM)


def freeze_trainer(house: House, rng: random.Random) -> str:
    """A trainer hangs for a while."""
    seconds = rng.uniform(0.1, 1.5)
    said = _signal_trainer(house, rng, signal.SIGSTOP)
    if said.startswith(NOTHING_THERE):
        return said
    time.sleep(seconds)
    for process in house.trainers():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)
    return f"{said} for {seconds:.1f} s"


def stop_a_job(house: House, rng: random.Random) -> str:
    """A person stops a job."""
    running = [job for job in house.jobs() if job.status in ACTIVE]
    if not running:
        return f"{NOTHING_THERE}: a job to stop"
    job_id = rng.choice(running).id
    if not house.ask(f"/api/jobs/{job_id}/stop"):
        with suppress(Conflict):  # it ended meanwhile
            stop_job(house.database, house.settings, job_id)
    return "a job was stopped"


def pause_the_queue(house: House, rng: random.Random) -> str:
    """A person pauses the queue, and lets it go on a while later."""
    seconds = rng.uniform(0.1, 1.0)
    if not house.ask("/api/queue/pause", body={}):
        with house.database.write() as session:
            waiting.pause(session, waiting.ALL_DEVICES)
    time.sleep(seconds)
    if not house.ask("/api/queue/resume", body={}):
        with house.database.write() as session:
            waiting.resume(session, waiting.ALL_DEVICES)
    return f"the queue paused for {seconds:.1f} s"


def move_a_job(house: House, rng: random.Random) -> str:
    """A person puts a waiting job before another one, or at the end."""
    queued = [job.id for job in house.jobs() if job.status == JobStatus.QUEUED]
    if not queued:
        return f"{NOTHING_THERE}: a job that waits"
    job_id = rng.choice(queued)
    before = rng.choice([None, *(each for each in queued if each != job_id)])
    if not house.ask(f"/api/jobs/{job_id}/move", body={"before_job_id": before}):
        with suppress(Conflict, OperationalError), house.database.write() as session:
            job = queries.find_job(session, job_id)
            other = None if before is None else queries.find_job(session, before)
            waiting.move_before(session, job, other)
    return "a waiting job was moved"


def change_priority(house: House, rng: random.Random) -> str:
    """A person makes a waiting job more or less urgent."""
    queued = [job.id for job in house.jobs() if job.status == JobStatus.QUEUED]
    priority = rng.choice([-1, 0, 1])
    if not queued:
        return f"{NOTHING_THERE}: a job that waits"
    job_id = rng.choice(queued)
    change = {"priority": priority}
    if not house.ask(f"/api/jobs/{job_id}/place", method="PATCH", body=change):
        with suppress(Conflict, OperationalError), house.database.write() as session:
            waiting.change_place(session, queries.find_job(session, job_id), change)
    return "a waiting job's priority was changed"


def queue_ended_jobs(house: House, rng: random.Random) -> str:
    """A person queues what ended."""
    del rng
    if not house.queue_again():
        return f"{NOTHING_THERE}: an ended job to queue"
    return "ended jobs were queued"


def delete_and_restore(house: House, rng: random.Random) -> str:
    """A person deletes a job with its files and takes it back; the server may die over either."""
    chosen = rng.choice(house.jobs())
    death_over_deletion, death_over_restoration = _maybe_a_death(rng), _maybe_a_death(rng)
    _await_answer(house)
    _ask_and_kill(house, "DELETE", f"/api/jobs/{chosen.id}?files=true", death_over_deletion)
    _await_answer(house)
    eventually(
        lambda: not _is_being_deleted(house, chosen.id),
        lambda: f"job {chosen.id}, which is to be deleted, is gone",
    )
    if _id_of(house, chosen.training_name) is not None:
        return "a job's deletion came to nothing"
    _restore(house, chosen, death_over_restoration)
    return "a job was deleted and restored"


def lock_database(house: House, rng: random.Random) -> str:
    """Another program holds the database, as a backup does; now and then for longer than anybody
    waits for it.
    """
    is_long = rng.random() < SHARE_OF_LONG_LOCKS
    patience = BUSY_TIMEOUT_MS / 1000
    seconds = rng.uniform(patience + 1, patience + 2) if is_long else rng.uniform(0.2, 2.0)
    house.excuses.update(WORDS_OF_A_LOCK)
    connection = sqlite3.connect(house.settings.database_file, timeout=10, isolation_level=None)
    with suppress(sqlite3.OperationalError):
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    connection.close()
    past = " past everybody's patience" if is_long else ""
    return f"the database locked{past} for {seconds:.1f} s"


def fill_disk(house: House, rng: random.Random) -> str:
    """The disk is full for a while."""
    if not house.disk_is_small:
        return f"{NOT_POSSIBLE_HERE}: a full disk, without a small one of its own"
    seconds = rng.uniform(0.1, 1.0)
    house.excuses.update(WORDS_OF_A_FULL_DISK)
    ballast = house.folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * (1 << 16))
    time.sleep(seconds)
    ballast.unlink(missing_ok=True)
    return f"the disk full for {seconds:.1f} s"


def lose_samples(house: House, rng: random.Random) -> str:
    """Somebody tidies up and removes a job's pictures."""
    samples = _a_folder(house, rng).samples
    if not samples.exists():
        return f"{NOTHING_THERE}: samples to remove"
    shutil.rmtree(samples, ignore_errors=True)
    return "a job's samples removed"


def damage_newest_checkpoint(house: House, rng: random.Random) -> str:
    """A bad sector in the newest checkpoint."""
    folder = _a_folder(house, rng)
    steps = folder.checkpoint_steps()
    if not steps:
        return f"{NOTHING_THERE}: a checkpoint to damage"
    with suppress(OSError):
        files = [file for file in folder.checkpoint(steps[-1]).rglob("*") if file.is_file()]
        if files:
            file = rng.choice(sorted(files))
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            with (folder.path / DAMAGED).open("a") as note:
                note.write(f"{steps[-1]}\n")
    return f"checkpoint {steps[-1]} damaged"


def lose_job_file(house: House, rng: random.Random) -> str:
    """A job's job.yaml and command file are gone."""
    folder = _a_folder(house, rng)
    files = [folder.job_file, *(folder.run(n).commands for n in folder.run_numbers())]
    if not any(file.exists() for file in files):
        return f"{NOTHING_THERE}: job.yaml and commands to remove"
    for file in files:
        file.unlink(missing_ok=True)
    return "job.yaml and commands removed"


def reuse_process_id(house: House, rng: random.Random) -> str:
    """Worker and trainer die, and the trainer's number is given to another program: to us."""
    for child in list(house.live_workers()):
        house.end_worker(child, signal.SIGKILL)
    # A number is not given away while a group bears it: the trainer's children are gone as well.
    for process in house.left_behind():
        with suppress(psutil.Error):
            process.kill()
    with house.database.write() as session:
        for run in session.query(Run).filter(Run.finished_at.is_(None)):
            if run.process_id is not None:
                run.process_id = os.getpid()
    house.start_worker()
    return "everything killed, and the process ids given to others"


STAND_IN_FAULTS: tuple[Fault, ...] = (
    *(kill_worker, kill_worker, freeze_worker, second_worker, wrong_clock),
    *(kill_server, kill_server, freeze_server),
    *(kill_trainer, kill_trainer, terminate_trainer, freeze_trainer),
    *(stop_a_job, queue_ended_jobs, pause_the_queue, move_a_job, change_priority),
    *(delete_and_restore, delete_and_restore),
    *(lock_database, fill_disk),
    *(lose_samples, damage_newest_checkpoint, lose_job_file, reuse_process_id),
)
# Files of a real run that disappear under it are a failure with a name, told of in other tests.
REAL_FAULTS: tuple[Fault, ...] = (
    *(kill_worker, freeze_worker, wrong_clock, kill_server, freeze_server),
    *(kill_trainer, kill_trainer, terminate_trainer),
    *(freeze_trainer, stop_a_job, queue_ended_jobs, lock_database, damage_newest_checkpoint),
    *(reuse_process_id, pause_the_queue, delete_and_restore),
)


def _signal_trainer(house: House, rng: random.Random, number: signal.Signals) -> str:
    found = house.trainers()
    if found:
        with suppress(psutil.Error):  # it ended meanwhile
            rng.choice(found).send_signal(number)
            return f"{number.name} to a trainer"
    return f"{NOTHING_THERE}: a trainer for {number.name}"


def _maybe_a_death(rng: random.Random) -> float | None:
    """Seconds from a request to the server's death; None, as often, lets it live."""
    seconds = rng.uniform(0, LONGEST_LIFE_SECONDS)
    return rng.choice([None, seconds])


def _ask_and_kill(house: House, method: str, path: str, death: float | None) -> None:
    """Ask the server, and kill it `death` seconds after."""
    # Nothing that was asked may still be under way when the deed looks at what became of it.
    words = {"method": method, "timeout_seconds": CALM_SECONDS}
    if death is None:
        house.ask(path, **words)
        return
    request = threading.Thread(target=house.ask, args=(path,), kwargs=words)
    request.start()
    time.sleep(death)
    house.end_server(signal.SIGKILL)
    request.join()


def _await_answer(house: House) -> None:
    def answers() -> bool:
        house.start_server()
        return house.get("/api/trash") is not None

    eventually(answers, lambda: "the server answers")


def _is_being_deleted(house: House, job_id: int) -> bool:
    """Whether a worker still has to carry it out; there is one."""
    if not house.live_workers():
        house.start_worker()
    with house.database.read() as session:
        job = session.get(Job, job_id)
        return job is not None and job.delete_request is not None


def _restore(house: House, lost: Job, death: float | None) -> None:
    """Take the job back, again if that is cut off. Raises NotSo if there is nothing to take."""
    deaths = [death]

    def is_back() -> bool:
        _await_answer(house)
        # In this order: what is not in the database by now has been in the trash before.
        found = _id_of(house, lost.training_name)
        if found is not None:
            house.job_ids[house.job_ids.index(lost.id)] = found
            return True
        answer = house.get("/api/trash") or {"items": []}
        of_job = [e for e in answer["items"] if e["training_name"] == lost.training_name]
        deleted = [entry["id"] for entry in of_job if entry["kind"] == "job"]
        if not deleted:
            raise NotSo(f"job {lost.id}, {lost.training_name}, was lost")
        path = f"/api/trash/{deleted[0]}/restore"
        _ask_and_kill(house, "POST", path, deaths.pop() if deaths else None)
        return False

    eventually(is_back, lambda: f"{lost.training_name} is restored")


def _id_of(house: House, training_name: str) -> int | None:
    """The job's id now, which a restoration changes."""
    with house.database.read() as session:
        return session.scalar(select(Job.id).where(Job.training_name == training_name))


def _a_folder(house: House, rng: random.Random) -> JobFolder:
    return JobFolder(house.settings.output_dir, rng.choice(house.jobs()).training_name)
