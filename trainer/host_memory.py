"""Memory that was freed, given back to the system.

glibc keeps freed memory for the next request, and once pieces of a few megabytes were freed it cuts
all later requests of that size from one heap, which can shrink at its end only. A load that encodes
a thousand weights, each with some passing memory, leaves as much in holes between them as the
weights take. `malloc_trim` gives back the pages in such holes. Other systems' allocators have no
such call and, mostly, no such habit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_freed_memory() -> None:
    """Return to the system what this process has freed; milliseconds, as long as little is in use
    in small pieces. Does nothing where the allocator has no such call.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
