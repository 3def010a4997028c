"""Samples and checkpoints as the API speaks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.db.values import is_storable


def _is_text(note: str) -> str:
    if not is_storable(note):
        raise ValueError("it holds half of a surrogate pair, which is no UTF-8")
    return note


Note = Annotated[str, Field(max_length=2_000), AfterValidator(_is_text)]


class SampleEntry(BaseModel):
    """One picture with its recipe."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "step": 100,
                "prompt_index": 0,
                "prompt": "hatchstyle a red circle",
                "seed": 42,
                "width": 128,
                "height": 128,
                "guidance_scale": 1.0,
                "sample_steps": 20,
                "lora_strength": 1.0,
                "negative_prompt": None,
                "control_images": [],
                "file": "samples/step-000100-prompt-00.png",
                "superseded_by": None,
                "thumbnail_url": "/api/jobs/1/samples/7/thumbnail?v=9f2c41d07ab3",
                "is_starred": False,
                "note": "",
                "url": "/api/jobs/1/samples/7/image?v=9f2c41d07ab3",
            }
        }
    )
    id: int
    step: int
    prompt_index: int
    prompt: str
    seed: int
    width: int = Field(description="px")
    height: int = Field(description="px")
    guidance_scale: float
    sample_steps: int
    lora_strength: float | None = Field(description="None where an earlier version drew it.")
    negative_prompt: str | None
    control_images: list[str] = Field(description="Reference pictures, by name.")
    file: str = Field(description="In the job's folder.")
    superseded_by: int | None = Field(
        description="Number of the run that went on from an earlier step and set it aside."
    )
    thumbnail_url: str = Field(description="A WebP of 256 px; `&side=640` for a larger one.")
    is_starred: bool
    note: str
    url: str = Field(description="The PNG; a sample drawn anew gets a new id and address.")


class CheckpointEntry(BaseModel):
    """One LoRA file; the end result has `is_final`."""

    id: int
    step: int = Field(
        description="That it was saved at. After an early end the result may be an earlier step's "
        "than the last."
    )
    is_final: bool
    size_bytes: int
    created_at: datetime
    loss: float | None = Field(description="Mean loss of the 20 steps up to it.")
    preservation_loss: float | None = Field(
        description="Mean preservation loss of the same steps; None where the job has none."
    )
    num_layers: int | None = Field(
        description="Layers that it changes, as reading the saved file back has shown."
    )
    lora_norm: float | None = Field(
        description="Frobenius norm of all that it adds to the base's weights; 0: nothing yet."
    )
    is_best: bool = Field(
        description="The best by validation, of those that are kept; of the end result: its LoRA."
    )
    is_pinned: bool = Field(description="Never removed for room.")
    is_starred: bool = Field(description="A favourite; never removed for room either.")
    note: str
    url: str = Field(description="Downloads the LoRA as <training name>-step-000250.safetensors.")


class CheckpointMarks(BaseModel):
    """What to say of a checkpoint; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"pinned": True, "note": "the best hands"}}
    )
    pinned: bool = False
    starred: bool = False
    note: Note = ""


class SampleMarks(BaseModel):
    """What to say of a picture; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"starred": True}})
    starred: bool = False
    note: Note = ""
