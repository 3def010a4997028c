"""What only shows when files are read to their end: torn pictures and black masks.

The door reads headers and ends; this is asked before anything is encoded, for the files that no
cache holds yet (what is encoded was sound when it was). What becomes of them: `usable_items.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from trainer.encoding_plan import MaskTask
from trainer.parallel import WORKING_THREADS, in_threads
from trainer.pictures import UnreadablePicture, read_mask, read_picture


def unusable_files(
    pictures: Sequence[Path],
    masks: Sequence[MaskTask],
    *,
    tick: Callable[[int], None] = lambda done: None,
) -> dict[Path, str]:
    """Decode each file wholly; what is wrong, by path. Empty when all are sound.

    tick: called with the number done after each; what it raises ends the work.
    """
    found: dict[Path, str] = {}
    tasks: list[Path | MaskTask] = [*dict.fromkeys(pictures), *masks]
    with closing(in_threads(_fault, tasks, WORKING_THREADS)) as faults:
        for done, (task, fault) in enumerate(zip(tasks, faults, strict=True), start=1):
            if fault:
                found[task.path if isinstance(task, MaskTask) else task] = fault
            tick(done)
    return found


def _fault(task: Path | MaskTask) -> str:
    try:
        if isinstance(task, MaskTask):
            mask = read_mask(task.path, task.picture_size, task.size)
            return "" if mask.any() else "black throughout, so nothing of its picture would train"
        read_picture(task)
    except UnreadablePicture as error:
        return str(error)
    return ""
