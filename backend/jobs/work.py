"""What a row of `jobs` asks for: a training, or a drawing.

A drawing is pictures with LoRA files at some strength; see `trainer/drawing_config.py`. It waits,
runs, stops and is deleted exactly as a training, so it is a job of another kind, and only where the
config is read does it matter which. Imports nothing of the backend but what errors need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from backend.errors import Conflict
from trainer.config import JobConfig
from trainer.drawing_config import DrawingConfig
from trainer.drawing_door import parse_drawing
from trainer.errors import JobRefused
from trainer.job_file import parse_job

JobKind = Literal["training", "drawing"]
Work = JobConfig | DrawingConfig

TRAINING: JobKind = "training"
DRAWING: JobKind = "drawing"


def kind_of(config: Mapping[str, Any]) -> JobKind:
    """What a config, or a job file, is of. No panel of a training is called pictures."""
    return DRAWING if "pictures" in config else TRAINING


def parse_work(config: Mapping[str, Any]) -> Work:
    """The training or the drawing in a mapping. Raises JobRefused."""
    return parse_drawing(config) if kind_of(config) == DRAWING else parse_job(config)


def parsed_work(config: Mapping[str, Any]) -> Work | None:
    """The same; None while it is an incomplete draft."""
    try:
        return parse_work(config)
    except JobRefused:
        return None


def gpu_of(work: Work) -> str:
    """Where it may run, for the claim."""
    return work.gpu if isinstance(work, DrawingConfig) else work.job.gpu


def not_a_training(name: str, job_id: int, deed: str) -> Conflict:
    """What is answered where only a training makes sense. deed: as in `cannot be …`."""
    return Conflict(
        "not_a_training",
        f"{name} is a drawing and cannot be {deed}.",
        "Only a training can. Make another drawing, with other settings.",
        params={"job_id": job_id, "training_name": name},
    )
