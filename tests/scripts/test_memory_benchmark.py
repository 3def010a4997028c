"""The plan stays within 15 % of the memory that mid-size models really take.

The rows are ones that nothing in the plan was fitted to. The others are measured by
`scripts/memory_benchmark.py`, and stand in docs/benchmarks.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "memory_benchmark.py"
RESIDENT = ("load, int8", "train, float8", "train, fp32, no checkpointing")
OFFLOADED = ("train, int8, 50 % offloaded", "train, float8, 100 % offloaded")
# With the text encoder's load, in which a copy of the whole would show.
ENCODED = ("encode texts, float8", "encode texts, int8, 100 % offloaded")


@pytest.mark.long
@pytest.mark.parametrize("rows", [RESIDENT, OFFLOADED + ENCODED], ids=["resident", "others"])
def test_the_plan_is_within_15_percent_of_measured_peaks(rows: tuple[str, ...]) -> None:
    # It ends with 1 where a row is further off.
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--only", *rows],
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"| {row} |" in result.stdout for row in rows)
