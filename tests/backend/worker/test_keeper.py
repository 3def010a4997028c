"""The keeper, with real processes: a stand-in worker that starts a stand-in training.

The stand-ins send a datagram for everything they do, so that no test has to guess when it happened.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

TRAINING = """
import os, signal, socket, sys
report = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
tell = lambda word: report.sendto(f"{word} {os.getpid()}".encode(), sys.argv[1])
def save(*_):
    tell("saved")
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
tell("training")
while True:
    signal.pause()
"""

# Starts a training the first time, in a process group of its own as the launcher does.
WORKER = """
import os, signal, socket, subprocess, sys
from pathlib import Path
address, training, marker = sys.argv[1:]
report = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
report.sendto(f"worker {os.getpid()}".encode(), address)
if not Path(marker).exists():
    Path(marker).touch()
    subprocess.Popen([sys.executable, training, address], start_new_session=True)
signal.pause()
"""

KEEPER = """
import sys
from backend.worker.keeper import keep
keep(sys.argv[2:], stop_seconds=float(sys.argv[1]))
"""


class Kept:
    """A keeper that runs, and what its worker and training report."""

    def __init__(self, folder: Path, *, training: str = TRAINING, stop_seconds: float = 60) -> None:
        self.reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reports.bind(str(folder / "reports"))
        self.reports.settimeout(60)
        (folder / "training.py").write_text(training)
        (folder / "worker.py").write_text(WORKER)
        files = [folder / "worker.py", folder / "reports", folder / "training.py", folder / "once"]
        worker = [sys.executable, *map(str, files)]
        self.process = subprocess.Popen([sys.executable, "-c", KEEPER, str(stop_seconds), *worker])
        self.worker = self.expect("worker")
        self.training = self.expect("training")

    def expect(self, word: str) -> int:
        """The process that reports this word next; a minute without one fails the test."""
        said, process = self.reports.recv(100).decode().split()
        assert said == word
        return int(process)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    running = Kept(tmp_path)
    yield running
    end_all(running)


def end_all(running: Kept) -> None:
    family = [running.process.pid, running.training]
    if running.process.poll() is None:
        family += [child.pid for child in psutil.Process(running.process.pid).children()]
    for process in family:
        if psutil.pid_exists(process):
            os.kill(process, signal.SIGKILL)
    running.process.wait()
    running.reports.close()


def wait_until_ended(process: int) -> None:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 60)[0], f"{process} did not end"
    finally:
        os.close(descriptor)


def test_a_killed_worker_is_replaced_and_its_training_goes_on(kept: Kept) -> None:
    os.kill(kept.worker, signal.SIGKILL)
    assert kept.expect("worker") != kept.worker
    assert psutil.Process(kept.training).ppid() == kept.process.pid
    assert psutil.Process(kept.training).status() != psutil.STATUS_ZOMBIE


def test_hang_up_renews_the_worker_at_once_and_leaves_the_training_alone(kept: Kept) -> None:
    kept.process.send_signal(signal.SIGHUP)
    assert kept.expect("worker") != kept.worker
    assert not psutil.pid_exists(kept.worker)
    assert psutil.Process(kept.training).is_running()


def test_a_training_that_outlived_its_worker_leaves_no_zombie(kept: Kept) -> None:
    kept.process.send_signal(signal.SIGHUP)
    kept.expect("worker")
    os.kill(kept.training, signal.SIGKILL)
    wait_until_ended(kept.training)
    # Before the keeper starts another worker it has collected every child that ended.
    kept.process.send_signal(signal.SIGHUP)
    kept.expect("worker")
    assert not psutil.pid_exists(kept.training)


def test_stopping_lets_the_training_save_and_leaves_nothing_running(kept: Kept) -> None:
    kept.process.send_signal(signal.SIGTERM)
    assert kept.expect("saved") == kept.training
    assert kept.process.wait(timeout=60) == 0
    assert not psutil.pid_exists(kept.worker)
    assert not psutil.pid_exists(kept.training)


def test_a_stop_that_arrives_while_the_worker_is_renewed_is_not_forgotten(kept: Kept) -> None:
    kept.process.send_signal(signal.SIGHUP)
    kept.process.send_signal(signal.SIGTERM)
    while kept.reports.recv(100).startswith(b"worker"):
        pass  # whether a worker was started in between is a matter of timing
    assert kept.process.wait(timeout=60) == 0
    assert not psutil.pid_exists(kept.training)


def test_a_training_that_ignores_the_request_is_killed_when_the_time_is_over(
    tmp_path: Path,
) -> None:
    deaf = TRAINING.replace("signal.signal(signal.SIGTERM, save)", "").replace(
        'tell("training")', 'signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntell("training")'
    )
    running = Kept(tmp_path, training=deaf, stop_seconds=1)
    try:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 0
        assert not psutil.pid_exists(running.training)
    finally:
        end_all(running)


def test_the_keeper_loads_neither_torch_nor_the_worker() -> None:
    names = "[m for m in ('torch', 'backend.worker.loop', 'sqlalchemy') if m in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, backend.worker.keeper; print({names})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
