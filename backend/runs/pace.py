"""How long steps take now, against the best stretch of their run.

A stretch is compared, not single steps: buckets of several sizes make steps of several lengths, in
turn.
"""

from __future__ import annotations

import statistics
from collections import deque

STRETCH_STEPS = 50
RECENT_STEPS = 20  # enough for a steady median, few enough to follow a slow-down


class Pace:
    """The pace of one run, step by step."""

    def __init__(self, best_seconds: float | None = None) -> None:
        """best_seconds: of the steps that are not told again."""
        self._last: deque[float] = deque(maxlen=STRETCH_STEPS)
        # Median of the fastest 50 consecutive steps; None before there are as many.
        self.best_seconds = best_seconds

    @property
    def recent_seconds(self) -> float:
        """Median of the last 20 steps."""
        return statistics.median(list(self._last)[-RECENT_STEPS:])

    def add(self, seconds: float) -> None:
        """One more step."""
        self._last.append(seconds)
        if len(self._last) == STRETCH_STEPS:
            stretch = statistics.median(self._last)
            self.best_seconds = min(stretch, self.best_seconds or stretch)

    def factor(self) -> float | None:
        """How many times as long as the best the recent steps take; None before 50 steps."""
        if not self.best_seconds:
            return None
        return self.recent_seconds / self.best_seconds
