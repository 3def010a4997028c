"""Which checkpoints make room for new ones, and which a person has asked to keep."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from trainer import folder_lock
from trainer.durable_write import TEMPORARY_PREFIX, flush_folder
from trainer.job_folder import JobFolder


def remove_old_checkpoints(folder: JobFolder, *, keep: int, best: int | None = None) -> list[int]:
    """Remove checkpoints beyond the newest `keep`, except pinned and starred ones and the one of
    step `best`. The steps gone.

    The newest is never among them, since `keep` is at least 1. None while somebody keeps
    pins.json for longer than a mark takes: the next save removes them.
    """
    with folder_lock.turn(folder.pins_lock) as is_ours:
        return _remove(folder, keep, best) if is_ours else []


def _remove(folder: JobFolder, keep: int, best: int | None) -> list[int]:
    steps = folder.checkpoint_steps()
    kept = kept_steps(folder.pins)
    removed = [step for step in steps[:-keep] if step not in kept and step != best]
    for step in removed:
        path = folder.checkpoint(step)
        # Renamed first, so that a reader never finds a checkpoint with half of its files.
        going = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
        os.rename(path, going)
        flush_folder(path.parent)
        shutil.rmtree(going, ignore_errors=True)
    return removed


def kept_steps(pins: Path) -> set[int]:
    """Steps of the checkpoints that pins.json marks as pinned or starred. Raises ValueError."""
    return {
        int(step)
        for step, marks in read_pins(pins).get("checkpoints", {}).items()
        if marks.get("pinned") or marks.get("starred")
    }


def read_pins(pins: Path) -> dict[str, Any]:
    """{"checkpoints": {"250": {"pinned", "starred", "note"}}, "samples": {...}}; {} without a file.

    Raises ValueError for a file that is no such thing.
    """
    try:
        marks = json.loads(pins.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    entries = list(marks.values()) if isinstance(marks, dict) else []
    levels = [marks, *entries, *(m for e in entries if isinstance(e, dict) for m in e.values())]
    for level in levels:
        if not isinstance(level, dict):
            raise ValueError(f"it holds {type(level).__name__} in place of a mapping")
    return marks
