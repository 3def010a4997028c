"""Which workers live. No wall clock says it: people, time servers and dead batteries turn it.

Three things prove that a worker is gone: it signed off; its process id with its start ticks is
nobody's on this boot of this machine; or it was of another boot of this machine. A worker of
another container, or of another machine that shares the database, is known by its heartbeat only:
a value that changes. How long it has not changed is counted by our own monotonic clock, and only
while we looked, since whoever was frozen or suspended has seen nothing meanwhile. The same silence
tells a process that lives from a worker that does its work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from backend.db.models import Worker
from backend.launchers.processes import boot_of, is_alive

# Workers beat every two seconds; a machine that swaps may take some more. Counted from somebody's
# first look, with a turn to close what is over, it must stay within the ten seconds after which
# nothing false may stand. Whoever was silent for longer and goes on is fenced off (fence.py).
WORKER_SILENCE_SECONDS = 8.0
# Between two looks no more than this counts as silence. Servers and workers look every few seconds.
LONGEST_LOOK_SECONDS = 5.0


@dataclass
class _Heard:
    beat: datetime | None
    looked_at: float
    silent_seconds: float = 0.0
    has_changed: bool = False


class Heartbeats:
    """For how long each worker's heartbeat has stayed the same while we looked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    def silent_seconds(self, worker_id: str, beat: datetime | None) -> float:
        """Look at a heartbeat; 0 at the first look. beat: None while the worker has no row."""
        looked_at = self._clock()
        before = self._heard.get(worker_id)
        if before is None or before.beat != beat:
            self._heard[worker_id] = _Heard(beat, looked_at, has_changed=before is not None)
            return 0.0
        before.silent_seconds += min(looked_at - before.looked_at, LONGEST_LOOK_SECONDS)
        before.looked_at = looked_at
        return before.silent_seconds

    def has_changed(self, worker_id: str) -> bool:
        """Whether we have seen it beat."""
        return worker_id in self._heard and self._heard[worker_id].has_changed


def is_proved_gone(worker: Worker, *, host: str, machine: str) -> bool:
    """Whether that worker cannot live any more. host, machine: of whoever asks."""
    if worker.ended_at is not None:
        return True
    if worker.machine == machine:
        return not is_alive(worker.process_id, worker.process_start_ticks)
    return is_of_earlier_boot(worker.host, worker.machine, host=host, machine=machine)


def is_of_earlier_boot(its_host: str, its_machine: str | None, *, host: str, machine: str) -> bool:
    """Whether a worker or run belongs to another boot of the asker's machine, which has ended.

    A machine is known by its host name: two that share a database need two names.
    """
    boot, our_boot = boot_of(its_machine or ""), boot_of(machine)
    return its_host == host and None not in (boot, our_boot) and boot != our_boot
