"""Where a run begins: from which checkpoint, and what of earlier runs makes way.

auto        the newest whole checkpoint; a damaged one is set aside, with a warning, for the one
            before. Without any checkpoint the run begins at 0; with damaged ones only, it is
            refused.
never       at 0; what is there is set aside.
CHECKPOINT  a step number or a checkpoint's folder, which must be whole.

Nothing is deleted: samples, checkpoints and results from after the beginning, which the run will
make anew and perhaps differently, move to superseded/<run>/, their pins with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import folder_lock
from trainer.checkpoint import Checkpoint, check_fits, open_checkpoint
from trainer.config import JobConfig
from trainer.dataset_changes import dataset_digests, dataset_problems
from trainer.durable_write import move, remove_leftovers, write_text
from trainer.errors import BadCheckpoint, Problem
from trainer.job_folder import JobFolder
from trainer.lora_file import read_metadata
from trainer.resume_rules import AUTO, NEVER, changed_settings
from trainer.retention import read_pins
from trainer.sampling import read_recipe, sample_requests


@dataclass(frozen=True)
class Beginning:
    """checkpoint: None begins at 0. damaged: what was passed over on the way to it."""

    checkpoint: Checkpoint | None
    damaged: tuple[BadCheckpoint, ...] = ()

    @property
    def step(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.step

    def changed_settings(self, job: JobConfig) -> dict[str, dict[str, Any]]:
        """What the job has changed since the checkpoint, as `resume_rules.changed_settings`."""
        if self.checkpoint is None:
            return {}
        return changed_settings(self.checkpoint.manifest["job"], job.model_dump(mode="json"))

    def dataset_problems(self, manifest: Mapping[str, Any]) -> list[Problem]:
        """What is another in the datasets than at the checkpoint; see `dataset_changes.py`."""
        then = None if self.checkpoint is None else self.checkpoint.manifest.get("dataset")
        if then is None:
            return []
        return dataset_problems(then, dataset_digests(manifest), step=self.step)


def choose_beginning(
    folder: JobFolder, job: JobConfig, *, resume: str, base_model: str
) -> Beginning:
    """The checkpoint to begin from, verified and fitting the job.

    base_model: the fingerprint of the transformer that the run will load. Raises
    BadCheckpoint.
    """
    if resume == NEVER:
        return Beginning(None)
    beginning = _newest_whole(folder) if resume == AUTO else Beginning(_named(folder, resume))
    if beginning.checkpoint is not None:
        check_fits(beginning.checkpoint, job, base_model=base_model)
    return beginning


def _newest_whole(folder: JobFolder) -> Beginning:
    damaged: list[BadCheckpoint] = []
    for step in reversed(folder.checkpoint_steps()):
        try:
            return Beginning(open_checkpoint(folder.checkpoint(step)), tuple(damaged))
        except BadCheckpoint as error:
            damaged.append(error)
    if damaged:
        raise BadCheckpoint(
            f"None of the {len(damaged)} checkpoints in {folder.checkpoints} can be used; the "
            f"newest: {damaged[0].message}",
            "Restore one from a backup, or start over with --resume never.",
            code="checkpoint_damaged",
        )
    return Beginning(None)


def _named(folder: JobFolder, name: str) -> Checkpoint:
    path = folder.checkpoint(int(name)) if name.isdecimal() else Path(name)
    if not path.is_dir():
        steps = ", ".join(str(step) for step in folder.checkpoint_steps()) or "none"
        raise BadCheckpoint(
            f"There is no checkpoint {path}.",
            f"Steps with a checkpoint in this job: {steps}.",
            code="checkpoint_missing",
            params={"path": str(path)},
        )
    return open_checkpoint(path)


def first_step_to_make_anew(folder: JobFolder, beginning: Beginning, *, resume: str) -> int:
    """The step from which on the run makes its own samples and checkpoints.

    What the checkpoint itself stands for stays, unless it comes from elsewhere: then this job's own
    pictures and checkpoint of that step are of something else.
    """
    if resume == NEVER:
        return 0
    checkpoint = beginning.checkpoint
    is_own = checkpoint is None or checkpoint.path == folder.checkpoint(checkpoint.step)
    return beginning.step + 1 if is_own else beginning.step


def set_aside_from(folder: JobFolder, first: int, *, run_number: int) -> Path | None:
    """Move what was made at step `first` and after it to superseded/<run>/.

    Returns that folder, or None if there was nothing to move. What a killed run left half-written
    is removed.
    """
    for part in (folder.path, folder.checkpoints, folder.samples):
        remove_leftovers(part)
    moved = [folder.checkpoint(s) for s in folder.checkpoint_steps() if s >= first]
    moved += [path for path, s, _ in folder.sample_files() if s >= first]
    result_step = read_metadata(folder.result).get("step", "0") if folder.result.exists() else None
    if result_step is not None and int(result_step) >= first:
        moved.append(folder.result)
    if not moved:
        return None
    aside = folder.superseded / f"{run_number:04d}"
    for path in moved:
        move_aside(folder, path, aside)

    def key_aside(kind: str, key: str) -> str | None:
        number = re.search(r"\d+", key)
        return key if number is not None and int(number[0]) >= first else None

    _move_marks(folder, aside, key_aside)
    return aside


def move_aside(folder: JobFolder, path: Path, aside: Path) -> Path:
    """Move a file or folder of the job to the same place below `aside`, or beside what is there.

    Returns where it is now.
    It is on the disk when this returns: a future that came back beside its successor after a power
    cut would be taken for the newest.
    """
    place = target = aside / path.relative_to(folder.path)
    number = 1
    while target.exists():
        number += 1
        target = place.with_stem(f"{place.stem}-{number}")
    move(path, target)
    return target


def set_aside_other_base_pictures(
    folder: JobFolder, job: JobConfig, *, run_number: int
) -> Path | None:
    """Move pictures of step 0 whose prompt, size or seed is no longer the job's.

    Returns the folder that they are in now, or None if there were none.
    """
    wanted = {request.prompt_index: request for request in sample_requests(job)}
    aside = folder.superseded / f"{run_number:04d}"
    others = [
        path
        for path, step, index in folder.sample_files()
        if step == 0
        and read_recipe(path)
        != (wanted[index].recipe(job.job.training_name, 0) if index in wanted else None)
    ]
    if not others:
        return None
    names = {path.name: move_aside(folder, path, aside).name for path in others}
    _move_marks(folder, aside, lambda kind, key: names.get(key) if kind == "samples" else None)
    return aside


def _move_marks(
    folder: JobFolder, aside: Path, key_aside: Callable[[str, str], str | None]
) -> None:
    """Marks on what was moved go with it, so that its successor does not inherit them.

    key_aside: of a kind and a key of pins.json, the key in the folder aside; None for what stays.
    """
    with folder_lock.turn(folder.pins_lock):
        _move_marks_now(folder, aside, key_aside)


def _move_marks_now(
    folder: JobFolder, aside: Path, key_aside: Callable[[str, str], str | None]
) -> None:
    kept_aside = aside / folder.pins.name
    try:
        pins, gone = read_pins(folder.pins), read_pins(kept_aside)
    except ValueError:
        return  # the first save says so
    stays: dict[str, dict[str, Any]] = {kind: {} for kind in pins}
    for kind, entries in pins.items():
        for key, marks in entries.items():
            new_key = key_aside(kind, key)
            if new_key is None:
                stays[kind][key] = marks
            else:
                gone.setdefault(kind, {})[new_key] = marks
    if stays == pins:
        return
    write_text(kept_aside, json.dumps(gone, ensure_ascii=False, indent=1))
    write_text(folder.pins, json.dumps(stays, ensure_ascii=False, indent=1))
