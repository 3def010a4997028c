"""The text encoder really leaves memory: it never was in the run's, and its process is gone."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.trainer.tiny_plans import tiny_plan
from trainer.caching import Slot, content_key
from trainer.encoding_plan import PictureTask, PromptTask
from trainer.encoding_process import run_child

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, as on Linux"),
]


def rss_anon_mib(process_id: int) -> float:
    """Resident anonymous memory: what a process has allocated and touched. Pages of mapped files,
    which the system may drop at any time, do not count.
    """
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has ended and is not yet collected


def test_what_encodes_weighs_on_the_child_alone(tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "picture.png")
    plan = tiny_plan(
        pictures=(PictureTask(tmp_path / "picture.png", (256, 256), Slot(tmp_path, "picture")),),
        prompts=tuple(
            PromptTask(f"prompt {number}", Slot(tmp_path, content_key(number=number)))
            for number in range(20)
        ),
    )
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    own: list[float] = []
    childs: list[float] = []

    def measure(_done: int, _total: int, _message: str) -> None:
        own.append(rss_anon_mib(os.getpid()))
        for child in psutil.Process().children():
            if child.pid not in others and child.is_running():
                childs.append(rss_anon_mib(child.pid))

    gc.collect()
    before = rss_anon_mib(os.getpid())
    run_child(plan, tick=measure, stop_requested=lambda: False)
    gc.collect()
    after = rss_anon_mib(os.getpid())

    assert {child.pid for child in psutil.Process().children(recursive=True)} <= others
    # Models, activations and the libraries around them.
    assert max(childs) > 100, childs
    # The plan and the answers; 16 MiB are what an allocator may round to.
    assert max(own) - before < 16, (before, own)
    assert after - before < 16, (before, after)
