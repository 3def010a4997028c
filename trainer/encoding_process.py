"""The run's side of the encoding child: start it, pass on what it says, never leave it behind."""

from __future__ import annotations

import json
import logging
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from trainer.encoding_plan import EncodingPlan, failure_said
from trainer.errors import ChildFailed, OutOfMemory, StopRequested
from trainer.folders import PROJECT_FOLDER
from trainer.memory_kills import kills_for_memory
from trainer.peak_memory import peak_resident_bytes

_POLL_SECONDS = 0.2
# A child that is asked to end has nothing to finish: every file is written whole or not at all.
_TERMINATE_SECONDS = 5
_LAST_LINES = 20
# A machine that restarts asks every process to end, and the child may hear it before the run does:
# that it ended so is then the first sign that the run is to stop. SIGINT gets through to a child
# that has only just been started.
_ASKED_TO_END = (-signal.SIGTERM, -signal.SIGINT)

log = logging.getLogger(__name__)


def run_child(
    plan: EncodingPlan,
    *,
    tick: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Start the child, wait until it has encoded the plan, and see that it is gone.

    tick: called with (tasks done, tasks in all, what is worked on). Raises StopRequested, what the
    child says has failed, or ChildFailed with its last lines.
    """
    total = len(plan.tasks)
    kills_before = kills_for_memory()
    child = _Child()
    try:
        child.send(plan.to_line())
        while (line := child.next_line(_POLL_SECONDS)) != "":
            if stop_requested():
                raise _stopped()
            if line is None:
                continue
            answer = json.loads(line)
            if answer["kind"] == "progress":
                tick(answer["done"], total, answer["message"])
            elif answer["kind"] == "failed":
                raise failure_said(answer)
        exit_code = child.wait()
    finally:
        child.end()
    if exit_code < 0 and kills_for_memory() > kills_before:
        raise _killed_for_memory()
    if exit_code in _ASKED_TO_END or (exit_code != 0 and stop_requested()):
        raise _stopped()
    if exit_code != 0:
        raise _unexplained(exit_code, child.last_lines())


class _Child:
    """The child process with threads that read what it says, so that no pipe can fill up."""

    def __init__(self) -> None:
        # In this process's group, so that whoever kills the group gets both; in the project's
        # folder, where `-m` finds the package however this process was started.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer.encoding_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT_FOLDER,
            encoding="utf-8",
            errors="replace",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._log_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._threads = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, line: str) -> None:
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            pass  # it ended already: its answers and exit code say why

    def next_line(self, timeout_seconds: float) -> str | None:
        """Its next answer; None when none came in time; "" when it will say no more."""
        try:
            return self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def wait(self) -> int:
        return self._process.wait()

    def last_lines(self) -> list[str]:
        return list(self._log_lines)

    def end(self) -> None:
        """See that the process is gone and its pipes are closed, whatever it was doing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            _pipe(pipe).close()

    def _read_answers(self) -> None:
        for line in _pipe(self._process.stdout):
            self._lines.put(line)
        self._lines.put("")

    def _read_log(self) -> None:
        for line in _pipe(self._process.stderr):
            self._log_lines.append(line.rstrip())
            log.info("encoding: %s", line.rstrip())


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "all three are pipes"
    return pipe


def _stopped() -> StopRequested:
    return StopRequested("The run was asked to stop while it encoded.")


def _killed_for_memory() -> OutOfMemory:
    return OutOfMemory(
        "The machine ran out of memory: the system killed the encoding process.",
        "Close other programs, or choose fewer bits for the Text Encoder.",
        params={"device": "host", "peak_bytes": peak_resident_bytes(of_children=True)},
    )


def _unexplained(exit_code: int, last_lines: list[str]) -> ChildFailed:
    """The error for a child that ended without saying why."""
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        message = f"The encoding process was killed ({name})."
        hint = (
            "The system kills the largest process when memory runs out: close other programs, "
            "choose float8 for the Text Encoder, or a smaller model."
            if name == "SIGKILL"
            else "Start the job again; what is encoded already is kept."
        )
    else:
        message = f"The encoding process failed with exit code {exit_code}."
        hint = "Its last lines in the log say why."
    said = "\n".join(last_lines)
    return ChildFailed(
        message + (f" It said last:\n{said}" if said else ""),
        hint,
        params={"exit_code": exit_code, "last_lines": last_lines},
    )
