"""The most memory that a process has held, as the system has counted it. Imports no torch."""

from __future__ import annotations

import sys

import psutil

# Of the system's own count, `ru_maxrss`.
PEAK_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def peak_resident_bytes(*, of_children: bool = False) -> int:
    """Of this process so far, or of the largest of its children that have ended.

    Where the system keeps no such count, what this process holds now.
    """
    try:
        import resource
    except ImportError:
        return psutil.Process().memory_info().rss
    who = resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * PEAK_UNIT_BYTES
