"""The encoding child by itself: its plan, its last lines, and its end with the run's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.trainer.tiny_plans import tiny_plan
from trainer.caching import Slot, content_key
from trainer.encoding_plan import EncodingPlan, PictureTask, PromptTask
from trainer.encoding_process import run_child
from trainer.errors import ChildFailed
from trainer.folders import PROJECT_FOLDER

pytestmark = pytest.mark.slow


def busy_plan(root: Path, **fields: Any) -> EncodingPlan:
    """Many prompts, so that the child is busy for a while."""
    slots = root / "prompts"
    prompts = tuple(
        PromptTask(f"prompt {number} あ\n", Slot(slots, content_key(number=number)))
        for number in range(2000)
    )
    return tiny_plan(prompts=prompts, **fields)


def test_a_child_that_crashes_gives_its_last_lines(tmp_path: Path) -> None:
    plan = busy_plan(tmp_path, architecture="no such architecture")
    with pytest.raises(ChildFailed, match="no such architecture") as failed:
        run_child(plan, tick=lambda *_: None, stop_requested=lambda: False)
    assert failed.value.problems[0].params["exit_code"] == 1


def test_a_child_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    plan = busy_plan(tmp_path)
    program = (
        "import sys; from trainer.encoding_plan import EncodingPlan; "
        "from trainer.encoding_process import run_child; "
        "run_child(EncodingPlan.from_line(sys.stdin.readline()), stop_requested=lambda: False, "
        "tick=lambda *said: print(said[2], flush=True))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(plan.to_line())
        run.stdin.flush()
        assert run.stdout.readline().strip() == "loading the text encoder"
        (child,) = psutil.Process(run.pid).children()
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        child.wait(timeout=60)
    assert not child.is_running()


STOPPED_BY_SIGNALS = """
import sys
from trainer.encoding_plan import EncodingPlan
from trainer.encoding_process import run_child
from trainer.errors import StopRequested
from trainer.run_start import stopping_on_signals

heard = []
with stopping_on_signals(heard.append):
    try:
        run_child(
            EncodingPlan.from_line(sys.stdin.readline()),
            stop_requested=lambda: bool(heard),
            tick=lambda *said: print(said[2], flush=True),
        )
    except StopRequested:
        print("stopped")
"""


@pytest.mark.parametrize(
    ("number", "moment", "to_whom"),
    [
        (signal.SIGTERM, "the child starts", "the group"),
        (signal.SIGINT, "the child starts", "the group"),
        (signal.SIGTERM, "it loads", "the child alone"),
    ],
)
def test_a_signal_to_run_and_child_stops_the_run_whenever_it_comes(
    tmp_path: Path, number: signal.Signals, moment: str, to_whom: str
) -> None:
    """As a machine that restarts, a container that is stopped and Ctrl-C give it.

    The child alone: it may hear it long before the run does.
    """
    run = subprocess.Popen(
        [sys.executable, "-c", STOPPED_BY_SIGNALS],
        cwd=PROJECT_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(busy_plan(tmp_path).to_line())
        run.stdin.flush()
        child = _first_child(run.pid)
        if moment != "the child starts":
            assert run.stdout.readline().strip() == "loading the text encoder"
        if to_whom == "the group":
            os.killpg(run.pid, number)
        else:
            child.send_signal(number)
        said, problems = run.communicate(timeout=60)
    assert said.splitlines()[-1:] == ["stopped"], problems
    assert not child.is_running()


def _first_child(process_id: int) -> psutil.Process:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if children := psutil.Process(process_id).children():
            return children[0]
        time.sleep(0.001)
    raise AssertionError("no child was started")


def test_a_child_whose_run_is_gone_before_the_plan_ends_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "trainer.encoding_child"],
        cwd=PROJECT_FOLDER,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == b""


def test_a_plan_survives_its_line(tmp_path: Path) -> None:
    picture = PictureTask(tmp_path / "あ.png", (64, 96), Slot(tmp_path, content_key(picture=1)))
    plan = replace(busy_plan(tmp_path), pictures=(picture,))
    assert EncodingPlan.from_line(plan.to_line()) == plan
