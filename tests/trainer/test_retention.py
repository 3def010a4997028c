"""Which checkpoints make room: never one that a person has marked, whatever else is on the disk."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import folder_lock
from trainer.job_folder import LORA_FILE, JobFolder
from trainer.retention import remove_old_checkpoints

STEPS = st.sets(st.integers(1, 30), max_size=8)


def folder_with(parent: Path, steps: set[int]) -> JobFolder:
    folder = JobFolder(parent, "style")
    for step in steps:
        folder.checkpoint(step).mkdir(parents=True)
        (folder.checkpoint(step) / LORA_FILE).write_bytes(b"x")
    return folder


@given(
    steps=STEPS, pinned=STEPS, starred=STEPS, noted=STEPS, keep=st.integers(1, 4), best=st.data()
)
def test_pinned_starred_best_and_newest_stay_and_nothing_else_does(
    steps: set[int],
    pinned: set[int],
    starred: set[int],
    noted: set[int],
    keep: int,
    best: st.DataObject,
) -> None:
    chosen = best.draw(st.sampled_from([None, *sorted(steps)]))
    with tempfile.TemporaryDirectory() as parent:
        folder = folder_with(Path(parent), steps)
        folder.path.mkdir(exist_ok=True)
        marks = {
            str(step): {"pinned": step in pinned, "starred": step in starred, "note": "x"}
            for step in pinned | starred | noted
        }
        folder.pins.write_text(json.dumps({"checkpoints": marks}))
        removed = remove_old_checkpoints(folder, keep=keep, best=chosen)
        newest = set(sorted(steps)[-keep:])
        stay = steps & (pinned | starred | newest | {chosen})
        assert set(folder.checkpoint_steps()) == stay
        assert removed == sorted(steps - stay)
        left = {path.name for path in folder.checkpoints.iterdir()} if steps else set()
        assert left == {folder.checkpoint(step).name for step in stay}


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", "null", '{"checkpoints": [1]}', '{"checkpoints": {"1": true}}']
    + ['{"checkpoints": {"one": {"pinned": true}}}'],
)
def test_with_marks_that_cannot_be_read_nothing_is_removed(tmp_path: Path, text: str) -> None:
    folder = folder_with(tmp_path, {1, 2, 3})
    folder.pins.write_text(text)
    with pytest.raises(ValueError, match=r"\w"):
        remove_old_checkpoints(folder, keep=1)
    assert folder.checkpoint_steps() == [1, 2, 3]


def test_what_is_pinned_while_old_checkpoints_go_stays(tmp_path: Path) -> None:
    """A pin that retention waits for is obeyed, as if it had been there all the time."""
    folder = folder_with(tmp_path, {1, 2, 3})
    removed: list[int] = []
    with folder_lock.turn(folder.pins_lock):
        trainer = Thread(target=lambda: removed.extend(remove_old_checkpoints(folder, keep=1)))
        trainer.start()
        folder.pins.write_text(json.dumps({"checkpoints": {"1": {"pinned": True}}}))
        time.sleep(0.05)
    trainer.join()
    assert removed == [2]
    assert folder.checkpoint_steps() == [1, 3]


def test_nothing_goes_while_pins_are_kept_by_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "TURN_SECONDS", 0.05)
    folder = folder_with(tmp_path, {1, 2, 3})
    with folder_lock.turn(folder.pins_lock):
        assert remove_old_checkpoints(folder, keep=1) == []
    assert remove_old_checkpoints(folder, keep=1) == [1, 2]
