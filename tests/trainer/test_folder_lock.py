"""The lock on a job's folder, between processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainer import folder_lock
from trainer.errors import FolderInUse

HOLD = """
import sys
import threading
import time
from pathlib import Path
from trainer import folder_lock
with folder_lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_trainer_hears_who_holds_the_folder(tmp_path: Path) -> None:
    lock = tmp_path / "job" / ".lock"
    with folder_lock.held(lock), pytest.raises(FolderInUse, match=str(os.getpid())):
        folder_lock.held(lock).__enter__()


def test_the_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with folder_lock.held(tmp_path / ".lock"):
            pass


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderInUse, match=str(holder.pid)):
        folder_lock.held(tmp_path / ".lock").__enter__()
    holder.kill()
    holder.wait()
    with folder_lock.held(tmp_path / ".lock"):
        pass
    holder.stdin.close()
    holder.stdout.close()


def test_whether_it_is_held_is_asked_without_a_trace(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert not folder_lock.is_held(lock)
    assert not lock.exists()
    with folder_lock.held(lock):
        said = lock.read_text()
        assert folder_lock.is_held(lock)
    assert not folder_lock.is_held(lock)
    assert lock.read_text() == said, "who held it last is still known"


def test_turns_are_taken_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / ".pins.lock"
    written: list[str] = []

    def change(name: str) -> None:
        with folder_lock.turn(path, seconds=30) as is_ours:
            assert is_ours
            written.append(name)
            time.sleep(0.02)
            written.append(name)

    writers = [threading.Thread(target=change, args=(f"{number}",)) for number in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(written) == 10
    assert written[::2] == written[1::2], "nobody wrote within another's turn"


def test_who_keeps_a_turn_too_long_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / ".pins.lock"
    with folder_lock.turn(path), folder_lock.turn(path, seconds=0.05) as is_ours:
        assert not is_ours
    with folder_lock.turn(path, seconds=0) as is_ours:
        assert is_ours
