"""Keeps a worker running in a place of its own: `python -m backend.worker.keeper`.

A worker may come and go while trainings run on: that is how `darkroom work` behaves under a shell
or systemd. In a container it does not, because a container lives as long as its first process. If
that were the worker, its restart, or a crash of it, would take every training along.

So the first process is this one. It does three things and knows nothing of jobs or the database,
which is why it has no reason to be restarted:

* It starts the worker, and starts it again when it ends: at once after a SIGHUP, otherwise after a
  pause that doubles from 1 to 30 seconds, so that a worker that cannot start does not spin.
* It adopts what a dead worker leaves. Trainings become its children, and it collects their exit
  codes, so that none lingers as a zombie. (As process 1 it would be given them anyway; asking the
  kernel for it makes the same hold under another init, and in the tests.)
* On SIGTERM, which is how a container is stopped, it ends the worker first, so that nobody starts
  anything new, and then asks each training to stop. A training finishes its step, saves and exits;
  its run counts as interrupted, and the next worker queues the job again. Whatever has not ended
  after `--stop-seconds` is killed; it resumes from its last checkpoint, as after a power cut. The
  container's stop grace period has to be longer than that.

Another way would have been to start the trainings in a third container, reached over a socket. It
would let the worker's *container* be replaced under a running training, and cost a second launcher,
a protocol and one more service. Replacing the container stops at a checkpoint instead.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from enum import Enum

import psutil

log = logging.getLogger("darkroom.keeper")

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A worker that ran this long had started well: the next pause is the first one again.
SETTLED_SECONDS = 60.0
# Time for the worker to commit what it holds. It has nothing to save: jobs are rows.
WORKER_STOP_SECONDS = 15.0

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


class Request(Enum):
    """What a signal asks for."""

    STOP = "SIGTERM or SIGINT: end the worker, let the trainings save, and leave"
    RENEW = "SIGHUP: a new worker, and nothing else"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m backend.worker.keeper")
    parser.add_argument("--stop-seconds", type=float, default=150.0, help="for trainings to save")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    keep([sys.executable, "-m", "backend.worker"], stop_seconds=options.stop_seconds)


def keep(worker_command: Sequence[str], *, stop_seconds: float) -> None:
    """Run until SIGTERM or SIGINT. Linux only."""
    adopt_orphans()
    signals = Signals()
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        started = time.monotonic()
        worker = os.posix_spawn(worker_command[0], [*worker_command], os.environ)
        log.info("worker started as process %d", worker)

        request = wait_for_end(worker, signals)
        if request is Request.RENEW:
            log.info("asked for a new worker")
            end(worker, signals)
        elif request is None:
            if time.monotonic() - started > SETTLED_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            log.warning("worker ended by itself; a new one in %.0f s", pause_seconds)
            request = wait_out(pause_seconds, signals)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)

        if request is Request.STOP:
            end(worker, signals)
            stop_trainings(stop_seconds, signals)
            return


def adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let this process adopt orphans")


class Signals:
    """Signals as something to wait for, with a time-out, without a race, and without forgetting.

    A stop that arrives while the keeper is busy with something else is found by the next `request`.
    """

    def __init__(self) -> None:
        self._reader, writer = socket.socketpair()
        for end_of_pair in (self._reader, writer):
            end_of_pair.setblocking(False)
        self._writer = writer  # kept open for as long as signals may arrive
        self._requests: set[int] = set()
        signal.set_wakeup_fd(writer.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None = None) -> None:
        """Return when a signal arrives, which may be that of a dead child, or the time is over."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._requests |= set(self._reader.recv(4096)) - {signal.SIGCHLD}

    def request(self) -> Request | None:
        """What was asked for since the last call; to stop goes before to renew."""
        arrived, self._requests = self._requests, set()
        if arrived & {signal.SIGTERM, signal.SIGINT}:
            return Request.STOP
        return Request.RENEW if arrived else None


def wait_for_end(worker: int, signals: Signals) -> Request | None:
    """Collect dead children until the worker is one of them (None) or something is asked for."""
    while not collect(worker):
        if request := signals.request():
            return request
        signals.wait()
    return None


def wait_out(seconds: float, signals: Signals) -> Request | None:
    """Pause, but answer at once when something is asked for."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if request := signals.request():
            return request
        signals.wait(left)
        collect()
    return None


def end(worker: int, signals: Signals) -> None:
    """Terminate the worker, kill it if it does not end, and collect it. Harmless if it is gone."""
    until = time.monotonic() + WORKER_STOP_SECONDS
    if not is_child(worker):
        return
    os.kill(worker, signal.SIGTERM)
    while not collect(worker):
        left = until - time.monotonic()
        if left <= 0:
            log.warning("worker %d did not end in %.0f s: killed", worker, WORKER_STOP_SECONDS)
            os.kill(worker, signal.SIGKILL)
            left = None
        signals.wait(left)


def stop_trainings(seconds: float, signals: Signals) -> None:
    """Ask everything that is left to stop; kill what has not ended in time."""
    until = time.monotonic() + seconds
    asked: set[int] = set()
    while children := psutil.Process().children():
        for child in children:
            if child.pid not in asked:
                log.info("asking process %d to save and stop", child.pid)
                child.terminate()
                asked.add(child.pid)
        left = until - time.monotonic()
        if left <= 0:
            for child in children:
                log.warning("process %d did not stop in %.0f s: killed", child.pid, seconds)
                child.kill()
        # A look every second, too: a child that was adopted in the meantime sends no signal.
        signals.wait(min(max(left, 0.1), 1.0))
        collect()
    log.info("nothing left running")


def collect(worker: int | None = None) -> bool:
    """Take the exit codes of all dead children; whether the worker was among them."""
    found = False
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if process == 0:
            return found
        log.info("process %d ended with %d", process, os.waitstatus_to_exitcode(status))
        found = found or process == worker


def is_child(process: int) -> bool:
    return any(child.pid == process for child in psutil.Process().children())


if __name__ == "__main__":
    main()
