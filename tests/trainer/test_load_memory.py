"""What loading a mid-size model takes: memory at its highest, and the second start's time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.mid_size import save_mid_size_transformer
from trainer.folders import PROJECT_FOLDER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc"),
]


@pytest.fixture(scope="module")
def mid_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mid-size") / "transformer"
    save_mid_size_transformer(folder)
    return folder


def load(folder: Path, kind: str, cache: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.load_in_child", str(folder), kind, str(cache)],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["float8", pytest.param("int4", marks=pytest.mark.long)])
def test_a_load_takes_its_result_and_one_tensor_and_the_next_one_a_quarter_of_its_time(
    mid_size: Path, tmp_path: Path, kind: str
) -> None:
    """The first load quantizes and writes the cache, the second maps it. CPU seconds: other
    programs on the machine change the time on the clock.
    """
    first = load(mid_size, kind, tmp_path)
    assert first["final_bytes"] > 0.9 * first["stored_bytes"]  # the gauge works
    bound = 1.1 * (first["stored_bytes"] + first["largest_tensor_bytes"])
    assert first["peak_bytes"] < bound, first
    second = load(mid_size, kind, tmp_path)
    assert second["cpu_seconds"] < first["cpu_seconds"] / 4, (first, second)
    assert second["peak_bytes"] < first["largest_tensor_bytes"], second  # views of the mapped file
