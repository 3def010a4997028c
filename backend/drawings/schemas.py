"""Drawings as the API speaks of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.artifacts.schemas import SampleEntry
from backend.jobs.schemas import EXAMPLE_SUMMARY, JobSummary, ProblemEntry, RunEntry
from backend.jobs.waiting import HIGHEST_PRIORITY, LOWEST_PRIORITY

EXAMPLE_CONFIG: dict[str, Any] = {
    "model": {"model_architecture": "tiny"},
    "loras": ["/srv/output/tiny-style/tiny-style.safetensors"],
    "pictures": [
        {"prompt": "hatchstyle a red circle"},
        {"prompt": "hatchstyle a red circle", "lora": 0},
        {"prompt": "hatchstyle a red circle", "lora": 0, "lora_strength": 0.6},
    ],
}
_EXAMPLE_PICTURE: dict[str, Any] = {
    "index": 0,
    "prompt": "hatchstyle a red circle",
    "lora": None,
    "lora_label": None,
    "lora_strength": None,
    "state": "waiting",
    "message": None,
    "sample": None,
}
EXAMPLE_DRAWING = EXAMPLE_SUMMARY | {
    "id": 2,
    "training_name": "drawing-0001",
    "kind": "drawing",
    "total_steps": 1,
    "step": 0,
    "phase": "sample",
    "progress": {"done": 0, "total": 1, "message": "hatchstyle a red circle"},
    "loss": None,
    "step_seconds": None,
    "best_step_seconds": None,
    "eta_seconds": None,
    "thumbnail_url": None,
    "loras": [],
    "pictures": [_EXAMPLE_PICTURE],
}


class DrawingToExamine(BaseModel):
    """A drawing without its name, which is given when it is made.

    config: `model`, `quantization`, `loras`, `pictures` and so on, as in a file for
    `python -m trainer draw`.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"config": EXAMPLE_CONFIG}}
    )
    config: dict[str, Any]


class DrawingToCreate(DrawingToExamine):
    """A drawing to be queued at once. With priority 1 it comes before what waits at 0."""

    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] = 0


class DeviceForecast(BaseModel):
    """What a drawing takes on one device, at the most in any phase."""

    device: str
    name: str
    fits: bool = Field(description="In memory.")
    vram_bytes: int
    ram_bytes: int
    seconds: float | None = Field(
        description="None until pictures of these sizes were drawn there with this model."
    )
    num_pictures_measured: int = Field(description="That `seconds` was taken from.")


class DrawingVerdict(BaseModel):
    """What queueing would say."""

    valid: bool
    errors: list[ProblemEntry]
    warnings: list[ProblemEntry]
    forecasts: list[DeviceForecast] = Field(
        description="One for each device that it may run on; none where the config is refused."
    )


class DrawnLora(BaseModel):
    """One of a drawing's LoRA files."""

    file: str = Field(description="As the config names it.")
    label: str = Field(description="The training and its step, or the file's name.")


class DrawnPicture(BaseModel):
    """One picture, drawn or not yet."""

    index: int = Field(description="Its place in the drawing, from 0.")
    prompt: str
    lora: int | None = Field(description="Which of the LoRAs, from 0; None is the base model.")
    lora_label: str | None
    lora_strength: float | None = Field(description="None for the base model.")
    state: Literal["drawn", "failed", "waiting"]
    message: str | None = Field(description="Why it failed.")
    sample: SampleEntry | None = Field(description="The picture with its recipe and addresses.")


class DrawingEntry(JobSummary):
    """A drawing in the list: a job whose steps are pictures."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_DRAWING})
    loras: list[DrawnLora]
    pictures: list[DrawnPicture]


class Drawing(DrawingEntry):
    """A drawing with everything. `config` is what makes another one like it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": EXAMPLE_DRAWING | {"config": EXAMPLE_CONFIG, "warnings": [], "runs": []}
        }
    )
    config: dict[str, Any]
    warnings: list[ProblemEntry]
    runs: list[RunEntry]
