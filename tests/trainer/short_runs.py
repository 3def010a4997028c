"""Trainings small enough for a test: the bundled model, six pictures of 64 px, a few steps.

64 px are 16 image tokens; with batch 1 a step takes a fraction of a second on one thread. Runs are
real: the encoding child, the event file and the output folder are those of any job.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from trainer.door import examine_job
from trainer.events import AnyEvent, Step, parse_line
from trainer.folders import Folders
from trainer.job_folder import JobFolder

COLOURS = ("red", "green", "blue", "black", "orange", "purple")
# Fields that most tests agree on; each test says what it changes.
SHORT_JOB: dict[str, Any] = {
    "job": {"training_name": "short", "trigger_word": "zorvex", "gpu": "cpu"},
    "model": {"model_architecture": "tiny", "vae_data_type": "fp32"},
    "quantization": {"transformer": "none", "text_encoder": "none"},
    "target": {"linear_rank": 4},
    "training": {"steps": 4, "learning_rate": 0.003, "data_type": "fp32"},
    "save": {"save_every": 100, "data_type": "fp32"},
    "datasets": [{"target_dataset": "squares", "resolutions": [64], "caption_dropout_rate": 0.0}],
    "sample": {"first_sample_at_step_0": False, "sample_steps": 2, "width": 64, "height": 64},
}


def make_squares(root: Path) -> None:
    """A dataset `squares` in `root`: six pictures of 64 px, one of 96 x 64, one caption bare."""
    folder = root / "squares"
    folder.mkdir(parents=True)
    for index, colour in enumerate(COLOURS):
        size = (96, 64) if colour == "purple" else (64, 64)
        picture = Image.new("RGB", size, "white")
        ImageDraw.Draw(picture).rectangle((8 + 4 * index, 12, 40 + 4 * index, 52), fill=colour)
        picture.save(folder / f"{index}-{colour}.png")
        if colour != "orange":
            prefix = "" if colour == "black" else "[trigger], "
            (folder / f"{index}-{colour}.txt").write_text(f"{prefix}a {colour} square\n")
    # The one without a caption file takes the default caption, which tests change.


def job_with(changes: Mapping[str, Any] | None = None, *, base: Any = None) -> dict[str, Any]:
    """SHORT_JOB with fields changed: {"training.steps": 6, "datasets.0.resolutions": [96]}."""
    job = copy.deepcopy(SHORT_JOB if base is None else base)
    for path, value in (changes or {}).items():
        *parents, leaf = path.split(".")
        place: Any = job
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        place[leaf] = copy.deepcopy(value)
    return job


@dataclass(frozen=True)
class ShortRun:
    """A finished run: its exit code, events and job folder."""

    exit_code: int
    events: list[AnyEvent]
    folder: JobFolder

    def of_type(self, kind: type[Any]) -> list[Any]:
        """The events of one class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> dict[int, tuple[float, float, float | None]]:
        """Step to (loss, objective, preservation loss), exactly as reported."""
        return {s.step: (s.loss, s.objective, s.preservation_loss) for s in self.of_type(Step)}

    def samples(self) -> dict[str, bytes]:
        """File name to bytes of every picture on disk."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.samples.glob("*.png"))}


def run_here(
    data: Mapping[str, Any],
    folders: Folders,
    parent: Path,
    *,
    resume: str = "auto",
) -> ShortRun:
    """Admit and run a job in this process, which saves a test the seconds of importing torch."""
    from trainer.loop import run

    verdict = examine_job(data, folders)
    job = verdict.admitted()
    exit_code = run(
        job, verdict.indexes, verdict.warnings, parent=parent, folders=folders, resume=resume
    )
    return finished_run(parent, job.job.training_name, exit_code)


def finished_run(parent: Path, training_name: str, exit_code: int) -> ShortRun:
    """The latest run on disk."""
    folder = JobFolder(parent, training_name)
    return ShortRun(exit_code, read_events(folder), folder)


def read_events(folder: JobFolder, number: int | None = None) -> list[AnyEvent]:
    """The events of a run, the latest by default."""
    run = folder.run(number or folder.run_numbers()[-1])
    lines = run.events.read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := parse_line(line)) is not None]


def write_job(path: Path, data: Mapping[str, Any]) -> Path:
    """The job as a YAML file, for the command line."""
    path.write_text(yaml.safe_dump(json.loads(json.dumps(data))), encoding="utf-8")
    return path
