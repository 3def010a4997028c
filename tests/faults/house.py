"""A Darkroom on a disk of its own: a server, workers, jobs; everything ended when it is over.

Where mounting is allowed the disk is a small one in memory, so that it can be filled; elsewhere it
is a plain folder and that fault is left out.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.errors import Conflict, Unusable
from backend.jobs.service import create_job, queue_job
from backend.jobs.status import ENDS, JobStatus
from backend.launchers.processes import has_word, is_alive
from backend.settings import Settings
from tests.backend.installation import environment_in, settings_in

ROOT = Path(__file__).parents[2]
CLOCK = Path(__file__).parent / "clock"
DISK_MB = 24
CALM_SECONDS = 240.0  # a machine may be very busy
TRUTH_SECONDS = 10.0


class NotSo(AssertionError):
    """Something that is promised does not hold."""


@dataclass
class House:
    """The installation in `folder`; `disk_is_small` says whether it can be filled."""

    folder: Path
    settings: Settings
    database: Database
    disk_is_small: bool
    more: dict[str, Any]
    port: int
    server: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    job_ids: list[int] = field(default_factory=list)

    def start_worker(self, *, clock_seconds: float = 0.0) -> None:
        """A worker process, its clock off by so much."""
        more = {}
        if clock_seconds:
            more["FAULT_CLOCK_SECONDS"] = str(clock_seconds)
            more["PYTHONPATH"] = os.pathsep.join([str(CLOCK), str(ROOT)])
        self.workers.append(self._start("worker.log", more, "backend.worker"))

    @property
    def address(self) -> str:
        """Where the server answers, while it does."""
        return f"http://127.0.0.1:{self.port}"

    def start_server(self) -> None:
        """The server, unless it is there; it answers a few seconds later."""
        if self.server is None or self.server.poll() is not None:
            more = {"DARKROOM_PORT": str(self.port)}
            self.server = self._start("server.log", more, "backend.cli", "serve")

    def end_server(self, number: signal.Signals) -> None:
        """Signal the server and see it go."""
        if self.server is not None:
            self.server.send_signal(number)
            self.server.send_signal(signal.SIGCONT)
            self.server.wait(timeout=CALM_SECONDS)
            self.server = None

    def ask(self, path: str) -> bool:
        """POST to the server, as the page does. False if it did not answer or is in trouble."""
        try:
            return not httpx.post(f"{self.address}{path}", timeout=5.0).is_server_error
        except httpx.HTTPError:
            return False

    def _start(self, log_name: str, more: dict[str, str], *module: str) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DARKROOM_")}
        environment |= environment_in(self.folder, **self.more) | more
        with (self.folder / log_name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end_worker(self, child: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Signal a worker and see it go."""
        child.send_signal(number)
        child.send_signal(signal.SIGCONT)
        child.wait(timeout=CALM_SECONDS)
        self.workers.remove(child)

    def live_workers(self) -> list[subprocess.Popen[bytes]]:
        """The workers that have not ended; those that have are forgotten."""
        self.workers = [child for child in self.workers if child.poll() is None]
        return self.workers

    def trainers(self) -> list[psutil.Process]:
        """Every living process that works on this house's output folder, but for the workers."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if any(word == str(self.settings.output_dir) for word in words):
                    found.append(process)
        return found

    def add_job(self, config: dict[str, Any]) -> None:
        """Queue a job."""
        self.job_ids.append(create_job(self.database, self.settings, config, queue=True).id)

    def jobs(self) -> list[Job]:
        """The jobs as they are in the database now."""
        with self.database.read() as session:
            return [session.get_one(Job, job_id) for job_id in self.job_ids]

    def queue_again(self) -> None:
        """Queue every job that ended otherwise than completed, as a person would: in the page if
        there is one, else by hand.
        """
        for job in self.jobs():
            if job.status in ENDS - {JobStatus.COMPLETED}:
                if self.ask(f"/api/jobs/{job.id}/queue"):
                    continue
                # Its worker was quicker, or the disk is full just now.
                with suppress(Conflict, Unusable):
                    queue_job(self.database, self.settings, job.id)

    def all_completed(self) -> bool:
        """Whether there is nothing left to do."""
        return all(job.status == JobStatus.COMPLETED for job in self.jobs())

    def claims_without_a_trainer(self) -> list[str]:
        """Jobs that are said to run although no trainer of theirs lives."""
        false = []
        for job in self.jobs():
            if job.status not in (JobStatus.RUNNING, JobStatus.STOPPING):
                continue
            with self.database.read() as session:
                run = session.query(Run).filter_by(job_id=job.id).order_by(Run.number).all()[-1]
            process_id, ticks = run.process_id or 0, run.process_start_ticks or 0
            if not (is_alive(process_id, ticks) and has_word(process_id, run.token)):
                false.append(f"job {job.id} is {job.status}, run {run.number} has no trainer")
        return false


@contextmanager
def house_in(folder: Path, *, prepare: Callable[[Settings], None], **more: Any) -> Iterator[House]:
    """A house in `folder`, which is made; every process of it is ended when the block is left."""
    folder.mkdir(parents=True)
    disk_is_small = _mount(folder)
    settings = settings_in(folder, **more)
    try:
        prepare(settings)
        database = Database(settings.database_url)
        house = House(folder, settings, database, disk_is_small, more, free_port())
        try:
            yield house
        finally:
            _end_everything(house)
            database.close()
    finally:
        if disk_is_small:
            _unmount(folder)


def eventually(
    condition: Callable[[], Any], what: Callable[[], str], seconds: float = CALM_SECONDS
) -> float:
    """Wait until `condition` holds; how long that took. Raises NotSo with what is asked then."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise NotSo(f"not within {seconds:.0f} s: {what()}")
        time.sleep(0.05)
    return time.monotonic() - start


def free_port() -> int:
    """One that nobody listens on; the server keeps it over its restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def keep(folder: Path, where: Path) -> None:
    """Copy a house for somebody to look into; a disk in memory goes with its round."""
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(folder, where, symlinks=True)


def _end_everything(house: House) -> None:
    for child in [*house.live_workers(), *([house.server] if house.server else [])]:
        child.kill()
        child.wait()
    for process in house.trainers():
        with suppress(psutil.Error):
            process.kill()
            process.wait(timeout=30)


def _mount(folder: Path) -> bool:
    """Put a small disk in memory there, if this system lets us."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs"]
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    return done.returncode == 0


def _unmount(folder: Path) -> None:
    for _ in range(100):
        done = subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise NotSo(f"{folder} is still in use: {done.stderr.decode()}")
