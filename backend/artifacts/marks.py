"""What a person says of checkpoints and samples: pinned, starred, a note. Kept in `pins.json`.

    {"checkpoints": {"250": {"pinned": true, "note": "best hands"}},
     "results": {"final": {"starred": true}},
     "samples": {"step-000250-prompt-00.png": {"starred": true}}}

The file lies beside what it marks and is the only place where marks are kept: they go with the
folder, outlive the database and its rows, and are what the trainer's retention reads before it
removes anything. It is replaced whole, by writers that take turns. What a resume sets aside takes
its marks along, into the pins.json of its folder in `superseded/`; there they are read and changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from backend.db.models import Checkpoint, Sample
from backend.errors import Conflict
from backend.files import existing_file
from trainer import folder_lock
from trainer.durable_write import write_text
from trainer.job_folder import JobFolder
from trainer.retention import read_pins

log = logging.getLogger(__name__)

_FINAL = "final"


@dataclass(frozen=True)
class Marks:
    """Of one checkpoint or sample."""

    is_pinned: bool = False
    is_starred: bool = False
    note: str = ""


@dataclass(frozen=True)
class JobMarks:
    """All marks of one job, as pins.json holds them. aside: by the run that set things aside."""

    pins: Mapping[str, Any]
    aside: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, row: Checkpoint | Sample) -> Marks:
        """Those of a row's file."""
        group, name = _place(row)
        run = _superseded_by(row)
        pins = self.pins if run is None else self.aside.get(run, {})
        said = pins.get(group, {}).get(name, {})
        note = said.get("note")
        return Marks(
            is_pinned=bool(said.get("pinned")),
            is_starred=bool(said.get("starred")),
            note=note if isinstance(note, str) else "",
        )


def read_marks(folder: JobFolder) -> JobMarks:
    """The job's marks; none of a pins.json that cannot be read."""
    aside = {number: _read(pins_aside(folder, number)) for number in folder.superseded_numbers()}
    return JobMarks(_read(folder.pins), aside)


def pins_aside(folder: JobFolder, run_number: int) -> Path:
    """Where the marks of what that run set aside are."""
    return folder.superseded / f"{run_number:04d}" / folder.pins.name


def _read(pins: Path) -> dict[str, Any]:
    try:
        return read_pins(pins)
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read: %s", pins, error)
        return {}


def _superseded_by(row: Checkpoint | Sample) -> int | None:
    return row.superseded_by if isinstance(row, Sample) else None


def write_marks(folder: JobFolder, row: Checkpoint | Sample, changes: Mapping[str, Any]) -> None:
    """Change `pinned`, `starred` or `note` of a row's file, and nothing else in pins.json.

    What was pinned stays: the trainer's retention takes its turn before or after. Raises NotFound
    if the file is gone, Conflict for a pins.json that somebody keeps, as a frozen trainer does, or
    that cannot be read: what it says is not overwritten.
    """
    existing_file(folder.path, row.path)
    with folder_lock.turn(folder.pins_lock) as is_ours:
        if not is_ours:
            raise Conflict(
                "pins_in_use",
                f"{folder.pins} is being changed by another process.",
                "Try again in a moment.",
                params={"path": str(folder.pins)},
            )
        existing_file(folder.path, row.path)  # retention may have been quicker than its event
        _write_marks_now(folder, row, changes)


def _write_marks_now(
    folder: JobFolder, row: Checkpoint | Sample, changes: Mapping[str, Any]
) -> None:
    run = _superseded_by(row)
    file = folder.pins if run is None else pins_aside(folder, run)
    try:
        pins = read_pins(file)
    except (OSError, ValueError) as error:
        raise Conflict(
            "pins_unreadable",
            f"{file} cannot be read: {error}.",
            "Correct the file, or delete it to give up all marks of this job.",
            params={"path": str(file)},
        ) from error
    group, name = _place(row)
    of_group = dict(pins.get(group, {}))
    marks = {**of_group.get(name, {}), **changes}
    marks = {key: value for key, value in marks.items() if value not in (False, "", None)}
    of_group[name] = marks
    if not marks:
        del of_group[name]
    write_text(file, json.dumps({**pins, group: of_group}, ensure_ascii=False, indent=1))


def _place(row: Checkpoint | Sample) -> tuple[str, str]:
    """Where a row's marks stand in pins.json."""
    if isinstance(row, Sample):
        return "samples", PurePosixPath(row.path).name
    return ("results", _FINAL) if row.is_final else ("checkpoints", str(row.step))
