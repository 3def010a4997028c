"""How long a page takes to show what came of a key or a button: the browser's own event timing."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable

from playwright.sync_api import Page

_NOTE = """() => {
  window.noted = [];
  window.roundBegan = 0;
  new PerformanceObserver((list) => window.noted.push(...list.getEntries()))
    .observe({ type: 'event', durationThreshold: 16 });
}"""

# The entry of an event comes with the frame after it. A key that is let go changes nothing to be
# seen: its frame may be one of a later round, so what began before a round is not that round's.
_BEGIN = "() => { window.noted = []; window.roundBegan = performance.now(); }"
_LONGEST_MS = """async () => {
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const own = window.noted.filter((entry) => entry.startTime >= window.roundBegan);
  return Math.max(16, ...own.map((entry) => entry.duration));
}"""


def timed(page: Page, act: Callable[[], None], *, rounds: int) -> list[float]:
    """Milliseconds from the event to the next frame, in steps of 8 and at least 16, each round.

    What the tool's own searches left behind is collected before a round, not in the midst of it.
    """
    browser = page.context.new_cdp_session(page)
    if not page.evaluate("'noted' in window"):
        page.evaluate(_NOTE)
    found: list[float] = []
    for _ in range(rounds):
        browser.send("HeapProfiler.collectGarbage")
        page.evaluate(_LONGEST_MS)  # until it is quiet
        page.evaluate(_BEGIN)
        act()
        found.append(page.evaluate(_LONGEST_MS))
    browser.detach()
    return found


def as_markdown(times: dict[str, list[float]], *, of: str = "") -> str:
    """What was timed as a table, the median and the longest. of: its first column's head."""
    rows = [
        f"| {what} | {statistics.median(found):.0f} ms | {max(found):.0f} ms |"
        for what, found in times.items()
    ]
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    lines = [
        f"| {of} | median | longest |",
        "|---|---|---|",
        *rows,
        "",
        f"On {os.cpu_count()} processor cores of which {busy:.1f} programs each were waiting for "
        "one.",
        "",
    ]
    return "\n".join(lines)
