"""The trash as the API speaks of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.jobs.status import JobStatus


class TrashEntry(BaseModel):
    """Something that was deleted and can be restored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "tiny-style-20260131-201500-250000",
                "kind": "job",
                "training_name": "tiny-style",
                "step": None,
                "prompt": None,
                "is_final": False,
                "size_bytes": 20971520,
                "deleted_at": "2026-01-31T20:15:00.250000Z",
                "expires_at": "2026-03-02T20:15:00.250000Z",
            }
        }
    )
    id: str
    kind: Literal["job", "checkpoint", "picture"]
    training_name: str
    step: int | None = Field(description="Of a checkpoint or a picture.")
    prompt: str | None = Field(description="Of a picture.")
    is_final: bool = Field(description="Whether the checkpoint is the job's end result.")
    size_bytes: int
    deleted_at: datetime
    expires_at: datetime | None = Field(description="None where nothing expires.")


class Restored(BaseModel):
    """Which job has it back; a job that was deleted gets a new id."""

    job_id: int


class Deletion(BaseModel):
    """A job that runs is stopped first and deleted then; the event `job_deleted` says when."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"job_id": 1, "status": "stopping", "files": False}}
    )
    job_id: int
    status: JobStatus = Field(description="What it is until then.")
    files: bool = Field(description="Whether its folder goes to the trash with it.")
