"""LoRA files as the API speaks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.variants import Architecture

EXAMPLE_UPLOAD = {
    "file": "loras/uploads/ink.safetensors",
    "label": "ink",
    "source": "upload",
    "name": "ink.safetensors",
    "job_id": None,
    "step": None,
    "is_final": False,
    "fits": ["klein-base-4b", "klein-4b"],
    "size_bytes": 83886080,
    "created_at": "2026-01-31T20:15:00Z",
    "problem": None,
}


class LoraEntry(BaseModel):
    """A LoRA file that a drawing can name."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_UPLOAD})
    file: str = Field(description="What goes into a drawing's `loras`.")
    label: str = Field(description="The training and its step, or the file's name.")
    source: Literal["job", "upload", "folder"] = Field(
        description="A job made it; somebody uploaded it; it lies in the models folder's `loras`."
    )
    name: str = Field(description="The file's own name; of an upload, what deletes it.")
    job_id: int | None = Field(description="Of the job that made it.")
    step: int | None = Field(description="After which it was saved.")
    is_final: bool = Field(description="Whether it is a job's end result.")
    fits: list[Architecture] = Field(
        description="The models that it can be drawn with; base and distilled ones alike."
    )
    size_bytes: int
    created_at: datetime
    problem: str | None = Field(description="Why it cannot be drawn with, by name.")
