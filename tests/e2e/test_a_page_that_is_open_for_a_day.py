"""A job's page that is open for half a day holds no more at its end than in the morning.

scripts/day_benchmark.py lives through the whole day and says what is left of it, hour by hour.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import live_through

STEPS = 45_000  # half a day; at its first fifth the page has all the points that it ever keeps
STEPS_AT_ONCE = 100
# What is there to be seen grows: 80 more samples with their recipes, and their marks on the curve's
# axis (300 nodes); and a curve is between half and all of the points that it may have. Measured:
# 2.4 MB. A hundred bytes kept of each step would be 3.6 MB more.
MOST_GROWTH_BYTES = 4 << 20
MOST_MORE_NODES = 500


@pytest.mark.long
def test_a_page_that_is_open_for_long_does_not_grow(
    browser: Browser, tmp_path: Path, built_pages: None
) -> None:
    found = list(live_through(browser, tmp_path, steps=STEPS, at_once=STEPS_AT_ONCE))
    morning, evening = found[0], found[-1]
    assert evening.heap_bytes - morning.heap_bytes < MOST_GROWTH_BYTES, found
    assert evening.nodes - morning.nodes < MOST_MORE_NODES, found
    assert evening.listeners - morning.listeners < MOST_MORE_NODES, found
