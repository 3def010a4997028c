"""The worker as a child of `darkroom up`: started, started again when it dies, ended with it.

The worker holds the reading end of a pipe whose other end is ours. However this process ends, the
pipe closes and the worker ends; no worker is left behind. Trainers are not its children to lose:
they run in sessions of their own.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

from trainer.folders import PROJECT_FOLDER

log = logging.getLogger(__name__)

END_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class WorkerProcess:
    """Keeps one worker running until `end`."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="worker keeper")

    def start(self) -> None:
        """Start the worker."""
        self._keeper.start()

    def end(self) -> None:
        """End the worker and wait for it."""
        self._ending.set()
        self._keeper.join()

    def _keep(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._ending.is_set():
            exit_code = self._run_one()
            if exit_code is None:
                return
            log.error(
                "the worker ended with code %s; starting it again in %.0f s",
                exit_code,
                pause_seconds,
            )
            self._ending.wait(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _run_one(self) -> int | None:
        """Run a worker; its exit code if it ended by itself, None if it was ended."""
        command = [sys.executable, "-m", "backend.worker", "--until-stdin-closes"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=PROJECT_FOLDER) as child:
            while not self._ending.is_set():
                try:
                    return child.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
            assert child.stdin is not None
            child.stdin.close()
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        return None
