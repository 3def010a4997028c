"""Samples and checkpoints as the API speaks of them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


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
                "url": "/api/jobs/1/samples/7/image",
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
    url: str = Field(description="The PNG; a sample drawn anew gets a new id and address.")


class CheckpointEntry(BaseModel):
    """One LoRA file; the end result has `is_final`."""

    id: int
    step: int
    is_final: bool
    size_bytes: int
    created_at: datetime
    loss: float | None = Field(description="Mean loss of the 20 steps up to it.")
    is_best: bool = Field(description="The best by validation, of those that are kept.")
    is_pinned: bool = Field(description="Pinned or starred in pins.json: never removed for room.")
    url: str = Field(description="Downloads the LoRA as <training name>-step-000250.safetensors.")
