"""Bundles as the API speaks of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ImportedDataset(BaseModel):
    """A dataset of the bundle, and what it is called here."""

    name: str
    becomes: str = Field(description="Its name in the datasets folder here.")
    is_reused: bool = Field(description="The same pictures and captions were here already.")
    num_files: int


class ChangedSetting(BaseModel):
    """A setting that belongs to the other machine, and what was done about it."""

    field: str = Field(description="Dotted path into the job.")
    before: Any
    now: Any = Field(description="The same as `before` where it was kept.")
    message: str


class ImportReport(BaseModel):
    """The job that a bundle became."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job_id": 1,
                "training_name": "tiny-style",
                "renamed_from": None,
                "step": 250,
                "datasets": [
                    {
                        "name": "tiny-hatch",
                        "becomes": "tiny-hatch",
                        "is_reused": True,
                        "num_files": 40,
                    }
                ],
                "missing_datasets": [],
                "settings": [
                    {
                        "field": "job.gpu",
                        "before": "GPU-5d6a",
                        "now": "any",
                        "message": "This machine has no GPU GPU-5d6a: any free one is taken.",
                    }
                ],
            }
        }
    )
    job_id: int
    training_name: str
    renamed_from: str | None = Field(description="Its name in the bundle, if that was taken here.")
    step: int | None = Field(description="Where it goes on; None where it begins.")
    datasets: list[ImportedDataset]
    missing_datasets: list[str] = Field(
        description="Left out of the bundle, and not in the datasets folder here."
    )
    settings: list[ChangedSetting]
