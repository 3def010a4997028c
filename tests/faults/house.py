"""A Darkroom on a disk of its own: a server, workers, jobs; everything ended when it is over.

Where mounting is allowed the disk is a small one in memory, so that it can be filled; elsewhere it
is a plain folder and that fault is left out.
"""

from __future__ import annotations

import os
import re
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
from backend.jobs.status import ACTIVE, EDITABLE, JobStatus
from backend.launchers.processes import has_word, is_alive
from backend.settings import Settings
from tests.backend.installation import environment_in, settings_in

ROOT = Path(__file__).parents[2]
CLOCK = Path(__file__).parent / "clock"
DISK_MB = 24
# In the environment of every process of a house, handed on from parent to child.
HOUSE_VARIABLE = "FAULT_HOUSE"
CALM_SECONDS = 240.0  # a machine may be very busy
TRUTH_SECONDS = 10.0
ANSWER_SECONDS = 5.0


# What may be said of a fault, and be the reason for an end, in a round in which it struck.
WORDS_OF_A_FULL_DISK = ("database or disk is full", "No space left on device", "disk I/O error")
WORDS_OF_A_LOCK = ("database is locked",)
NUM_LAST_LINES = 15
TRACEBACK = "Traceback (most recent call last)"


class NotSo(AssertionError):
    """Something that is promised does not hold."""


@dataclass(frozen=True)
class Child:
    """A server or worker, and the file that holds what it prints."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class House:
    """The installation in `folder`; `disk_is_small` says whether it can be filled."""

    folder: Path
    settings: Settings
    database: Database
    disk_is_small: bool
    more: dict[str, Any]
    port: int
    server: Child | None = None
    workers: list[Child] = field(default_factory=list)
    job_ids: list[int] = field(default_factory=list)
    # Of the faults that struck: what a server or worker may complain of.
    excuses: set[str] = field(default_factory=set)
    logs: list[Path] = field(default_factory=list)

    def start_worker(self, *, clock_seconds: float = 0.0) -> None:
        """A worker process, its clock off by so much."""
        more = {}
        if clock_seconds:
            more["FAULT_CLOCK_SECONDS"] = str(clock_seconds)
            more["PYTHONPATH"] = os.pathsep.join([str(CLOCK), str(ROOT)])
        self.workers.append(self._start("worker", more, "backend.worker"))

    @property
    def address(self) -> str:
        """Where the server answers, while it does."""
        return f"http://127.0.0.1:{self.port}"

    def start_server(self) -> None:
        """The server, unless it is there; it answers a few seconds later. Raises NotSo if it
        ended by itself.
        """
        if self.server is not None and self.server.process.poll() is not None:
            self._refuse_unexcused_end(self.server)
            self.server = None
        if self.server is None:
            more = {"DARKROOM_PORT": str(self.port)}
            self.server = self._start("server", more, "backend.cli", "serve")

    def end_server(self, number: signal.Signals) -> None:
        """Signal the server and see it go. Raises NotSo if it had ended by itself."""
        if self.server is not None:
            child, self.server = self.server, None
            self._end(child, number)

    def ask(
        self,
        path: str,
        *,
        method: str = "POST",
        body: dict[str, Any] | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> bool:
        """Ask the server, as the page does. False if it did not answer or is in trouble."""
        answer = self._request(method, path, body, timeout_seconds)
        return answer is not None and not answer.is_server_error

    def get(self, path: str) -> Any:
        """What the server says there; None if it did not answer or is in trouble."""
        answer = self._request("GET", path, None, ANSWER_SECONDS)
        return answer.json() if answer is not None and answer.is_success else None

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_seconds: float
    ) -> httpx.Response | None:
        address = f"{self.address}{path}"
        try:
            # verify: to load certificates, of which nothing here has need, takes 0.2 s, in which
            # a server that is killed right after a request would never hear of it.
            return httpx.request(method, address, json=body, timeout=timeout_seconds, verify=False)
        except httpx.HTTPError:
            return None

    def _start(self, name: str, more: dict[str, str], *module: str) -> Child:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DARKROOM_")}
        environment |= environment_in(self.folder, **self.more) | more
        environment[HOUSE_VARIABLE] = str(self.folder)
        path = log_folder(self.folder) / f"{name}-{len(self.logs) + 1}.log"
        self.logs.append(path)
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return Child(process, path)

    def end_worker(self, child: Child, number: signal.Signals) -> None:
        """Signal a worker and see it go. Raises NotSo if it had ended by itself."""
        self.workers.remove(child)
        self._end(child, number)

    def live_workers(self) -> list[Child]:
        """The workers that have not ended. Raises NotSo if one ended by itself."""
        for child in [child for child in self.workers if child.process.poll() is not None]:
            self.workers.remove(child)
            self._refuse_unexcused_end(child)
        return self.workers

    def refuse_tracebacks(self) -> None:
        """Raises NotSo if a server or worker printed an error that no fault explains."""
        for log in self.logs:
            text = log.read_text(errors="replace")
            for error in errors_in(text):
                if not any(words in error for words in self.excuses):
                    raise NotSo(f"{log.name}: {error}\n{_last_lines(text)}")

    def _end(self, child: Child, number: signal.Signals) -> None:
        if child.process.poll() is not None:
            self._refuse_unexcused_end(child)
            return
        child.process.send_signal(number)
        child.process.send_signal(signal.SIGCONT)
        child.process.wait(timeout=CALM_SECONDS)

    def _refuse_unexcused_end(self, child: Child) -> None:
        last = _last_lines(child.log.read_text(errors="replace"))
        if not any(words in last for words in self.excuses):
            raise NotSo(f"{child.log.name}: ended by itself, {child.process.returncode}:\n{last}")

    def left_behind(self) -> list[psutil.Process]:
        """Every living process that comes from this house, but for its server and workers."""
        known = {child.process.pid for child in self.workers}
        known |= {self.server.process.pid} if self.server else set()
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get(HOUSE_VARIABLE) == str(self.folder)
                is_dead = process.status() == psutil.STATUS_ZOMBIE
                if is_ours and not is_dead and process.pid not in known:
                    found.append(process)
        return found

    def trainers(self) -> list[psutil.Process]:
        """The living trainers: whoever has this house's output folder on its command line."""
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

    def queue_again(self) -> bool:
        """Queue every job that ended otherwise than completed, or is a draft since it was restored
        without a run, as a person would: in the page if there is one, else by hand. Whether there
        was one.
        """
        ended = [job for job in self.jobs() if job.status in EDITABLE - {JobStatus.COMPLETED}]
        for job in ended:
            if self.ask(f"/api/jobs/{job.id}/queue"):
                continue
            # Its worker was quicker, or the disk is full just now.
            with suppress(Conflict, Unusable):
                queue_job(self.database, self.settings, job.id)
        return bool(ended)

    def all_completed(self) -> bool:
        """Whether there is nothing left to do."""
        return all(job.status == JobStatus.COMPLETED for job in self.jobs())

    def false_claims(self) -> list[str]:
        """Jobs that are said to be at work although no trainer of theirs lives, and trainers that
        live although the database does not say that they work.
        """
        false, alive = [], set()
        for job in self.jobs():
            if job.status not in ACTIVE:
                continue
            with self.database.read() as session:
                run = session.query(Run).filter_by(job_id=job.id).order_by(Run.number).all()[-1]
            process_id, ticks = run.process_id or 0, run.process_start_ticks or 0
            if is_alive(process_id, ticks) and has_word(process_id, run.token):
                alive.add(run.token)
            else:
                false.append(f"job {job.id} is {job.status}, run {run.number} has no trainer")
        for process in self.trainers():
            with suppress(psutil.Error):
                words = process.cmdline()
                if words and not alive.intersection(words):
                    false.append(f"no job is at work in process {process.pid}: {' '.join(words)}")
        return false


def errors_in(log: str) -> list[str]:
    """What stands at the end of each traceback: the error and its message."""
    # Tracebacks within an exception group are indented behind a bar.
    lines = [re.sub(r"^ +[|+] ?", "", line) for line in log.splitlines()]
    found = []
    for number, line in enumerate(lines):
        if TRACEBACK in line:
            rest = lines[number + 1 :]
            found.append(next((each for each in rest if each and each[0] != " "), "cut off"))
    return found


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-NUM_LAST_LINES:])


@contextmanager
def house_in(folder: Path, *, prepare: Callable[[Settings], None], **more: Any) -> Iterator[House]:
    """A house in `folder`, which is made; every process of it is ended when the block is left."""
    folder.mkdir(parents=True)
    log_folder(folder).mkdir()
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


def log_folder(folder: Path) -> Path:
    """Where server and workers print to: beside the house, whose disk may be full."""
    return folder.with_name(f"{folder.name}-logs")


def keep(folder: Path, where: Path) -> None:
    """Copy a house for somebody to look into; a disk in memory goes with its round."""
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(folder, where, symlinks=True)
    shutil.copytree(log_folder(folder), where / "logs")


def _end_everything(house: House) -> None:
    for child in [*house.workers, *([house.server] if house.server else [])]:
        child.process.kill()
        child.process.wait()
    for process in house.left_behind():
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
