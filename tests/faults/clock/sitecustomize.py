"""Python runs this at its start where the folder is on PYTHONPATH: the process's clock is wrong.

Everything that asks for the time of day is off by FAULT_CLOCK_SECONDS, as after a clock that was
turned back. Clocks that only count on (`time.monotonic`, ticks since boot) go on as they were.
"""

import os
import time
from datetime import datetime, timedelta

OFFSET_SECONDS = float(os.environ.get("FAULT_CLOCK_SECONDS", "0"))

if OFFSET_SECONDS:
    true_time = time.time
    time.time = lambda: true_time() + OFFSET_SECONDS

    from backend.db import columns

    true_now = columns.now

    def wrong_now() -> datetime:
        return true_now() + timedelta(seconds=OFFSET_SECONDS)

    columns.now = wrong_now
