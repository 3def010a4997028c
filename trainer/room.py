"""Room on the disk for the next save: the run waits for it in place of failing.

A night's training must not end because something else filled the disk. Before a save the run looks
whether the checkpoint has room, with a little to spare for events, log and pictures. If not, it
says so and waits: the model stays loaded, no step is lost, and it goes on by itself as soon as
somebody has made room. It says again every few seconds that it waits, so that nobody takes it for
hung.

A stop is obeyed while it waits. The save is then tried in whatever room there is, since the spare
may be all that was missing; what cannot be saved is said to be lost (`saving.py`).

Free space is not all: a quota refuses a write although the disk has room. Such a write is tried
again after a while. Imports no torch.
"""

from __future__ import annotations

import time

from trainer.disk_places import free_bytes
from trainer.events import WaitingForSpace
from trainer.run_record import RunRecord

POLL_SECONDS = 1.0
ANNOUNCE_SECONDS = 10.0
# After a write that was refused although there seemed to be room.
TRY_AGAIN_SECONDS = 10.0
_SPARE_BYTES = 1 << 20
_SPARE_SHARE = 0.1


class Room:
    """The room on the disk of one run's folder."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record

    def has(self, num_bytes: int) -> bool:
        """Whether so much can be written, with a little to spare."""
        return self._free() >= _with_spare(num_bytes)

    def wait_for(self, num_bytes: int, *, was_refused: bool = False) -> bool:
        """Wait until so much can be written; False if a stop was asked for first.

        was_refused: a write has failed for lack of space, whatever the disk says.
        """
        if self.has(num_bytes) and not was_refused:
            return True
        began = time.monotonic()
        announced = -ANNOUNCE_SECONDS
        while True:
            if self._record.poll():
                return False
            waited = time.monotonic() - began
            if self.has(num_bytes) and (not was_refused or waited >= TRY_AGAIN_SECONDS):
                break
            if waited - announced >= ANNOUNCE_SECONDS:
                announced = waited
                self._announce(num_bytes)
            time.sleep(POLL_SECONDS)
        phase = self._record.current_phase
        assert phase is not None, "a save is a phase"
        self._record.phase(phase, "there is room again")
        return True

    def _announce(self, num_bytes: int) -> None:
        phase = self._record.current_phase
        assert phase is not None, "a save is a phase"
        self._record.report(
            WaitingForSpace(
                phase=phase,
                folder=str(self._record.job_folder.path),
                needed_bytes=_with_spare(num_bytes),
                free_bytes=self._free(),
            )
        )

    def _free(self) -> int:
        return free_bytes(self._record.job_folder.path)


def _with_spare(num_bytes: int) -> int:
    return int(num_bytes * (1 + _SPARE_SHARE)) + _SPARE_BYTES
