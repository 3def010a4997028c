"""Trainers as child processes on this machine.

Each is the leader of a session of its own: no Ctrl-C of the terminal reaches it, the worker's end
does not end it, and a signal to its group reaches the children it started for encoding. Its output
goes to a file, not to a pipe: a pipe would break with the worker.

A group's number is its leader's process id. It may be signalled as long as that id cannot have been
given to somebody else: while the leader lives, or has died but was not reaped yet.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from backend.launchers.launcher import Ended, Order, TrainerProcess
from backend.launchers.processes import find_by_word, has_word, is_alive, start_ticks
from trainer.memory_kills import kills_for_memory
from trainer.peak_memory import PEAK_UNIT_BYTES


class LocalLauncher:
    """Starts trainers here; keeps those it started itself, to learn their exit codes."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._kills_before: dict[str, int] = {}  # by token: since its start or adoption

    def start(self, order: Order) -> TrainerProcess:
        """Start a trainer in a session of its own. Raises OSError."""
        order.log.parent.mkdir(parents=True, exist_ok=True)
        kills_before = kills_for_memory()
        with order.log.open("ab") as log:
            child = subprocess.Popen(
                list(order.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=order.folder,
                env=dict(order.environment),
                start_new_session=True,
            )
        self._children[child.pid] = child
        self._kills_before[order.token] = kills_before
        # A child that died already has no ticks; poll() learns its exit code all the same.
        return TrainerProcess(child.pid, start_ticks(child.pid) or 0, order.token)

    def find(self, token: str) -> TrainerProcess | None:
        """The living trainer with this token on its command line."""
        process_id = find_by_word(token)
        ticks = None if process_id is None else start_ticks(process_id)
        if process_id is None or ticks is None:
            return None
        return TrainerProcess(process_id, ticks, token)

    def poll(self, process: TrainerProcess) -> Ended | None:
        """None while it lives. Of a child, the exit code; of an adopted trainer, none is known."""
        child = self._children.get(process.process_id)
        if child is None:
            return self._poll_adopted(process)
        if child.returncode is None and not _has_died(child.pid):
            return None
        if child.returncode is None:
            _signal_group(child.pid, signal.SIGKILL)  # before wait(): the id is still taken
        peak_resident_bytes = _reap(child)
        del self._children[process.process_id]
        return Ended(
            child.wait(),
            was_memory_short=self._was_memory_short(process),
            peak_resident_bytes=peak_resident_bytes,
        )

    def _poll_adopted(self, process: TrainerProcess) -> Ended | None:
        if self._is_adopted_and_alive(process):
            if process.token not in self._kills_before:
                self._kills_before[process.token] = kills_for_memory()
            return None
        if start_ticks(process.process_id) is None:
            # Nobody lives under that id. A group of that number is then what the trainer left,
            # since an id is not given away while a group bears it.
            _signal_group(process.process_id, signal.SIGKILL)
        return Ended(None, was_memory_short=self._was_memory_short(process))

    def _was_memory_short(self, process: TrainerProcess) -> bool:
        """Whether the count rose; of one that we never saw alive, nothing can be said."""
        kills_before = self._kills_before.pop(process.token, None)
        return kills_before is not None and kills_for_memory() > kills_before

    def terminate(self, process: TrainerProcess) -> None:
        """Ask it and its children to end."""
        self._signal(process, signal.SIGTERM)

    def kill(self, process: TrainerProcess) -> None:
        """End it and its children."""
        self._signal(process, signal.SIGKILL)

    def _signal(self, process: TrainerProcess, number: signal.Signals) -> None:
        if process.process_id in self._children or self._is_adopted_and_alive(process):
            _signal_group(process.process_id, number)

    def _is_adopted_and_alive(self, process: TrainerProcess) -> bool:
        return is_alive(process.process_id, process.start_ticks) and has_word(
            process.process_id, process.token
        )


def _has_died(process_id: int) -> bool:
    """Whether a child ended, without reaping it."""
    return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _reap(child: subprocess.Popen[bytes]) -> int | None:
    """Collect a child that has ended; the most memory it held, None if it was collected before."""
    if child.returncode is not None:
        return None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * PEAK_UNIT_BYTES


def _signal_group(group: int, number: signal.Signals) -> None:
    # Gone between the look and the signal, or (macOS) nobody but a dead leader in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
