"""How often the system has killed a process for lack of memory. Imports no torch.

A process learns nothing of such an end of its own: it is there, and then it is not. Whoever started
it compares the count from before with the one after.
"""

from __future__ import annotations

from pathlib import Path

_COUNTS = Path("/proc/vmstat")


def kills_for_memory() -> int:
    """How many processes Linux has killed so far because memory ran out, that of a container
    included; 0 where it cannot be told."""
    try:
        lines = _COUNTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(counts[0]) if counts else 0
