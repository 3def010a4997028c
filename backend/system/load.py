"""What the machine was doing over the last minutes, in the server's memory.

The worker writes its devices' figures with every beat; the server copies them into a ring, whether
somebody looks or not, so that a page just opened shows how it came to this. The ring is bounded and
is no record: a restart of the server empties it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.system.devices import host_memory
from backend.system.schemas import DeviceLoad, LoadHistory, LoadSample
from backend.system.state import device_entries, free_bytes, is_worker_alive

SAMPLE_SECONDS = 3.0
KEPT_SAMPLES = 300  # a quarter of an hour


class LoadRing:
    """The newest samples, oldest first. version: grows with each, for who waits for the next."""

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._samples: deque[LoadSample] = deque(maxlen=KEPT_SAMPLES)
        self.version = 0

    def take(self, session: Session) -> None:
        """One more sample. Without a worker there are no devices in it: a gap, not a flat line."""
        devices = device_entries(session) if is_worker_alive(session) else []
        memory = host_memory()
        self._samples.append(
            LoadSample(
                at=now(),
                devices=[DeviceLoad.model_validate(d, from_attributes=True) for d in devices],
                memory_used_bytes=memory.total_bytes - memory.available_bytes,
                disk_free_bytes=free_bytes(self._output_dir),
            )
        )
        self.version += 1

    @property
    def newest(self) -> LoadSample | None:
        """The last sample; None before the first."""
        return self._samples[-1] if self._samples else None

    def history(self) -> LoadHistory:
        """Everything that is kept."""
        return LoadHistory(interval_seconds=SAMPLE_SECONDS, items=list(self._samples))
