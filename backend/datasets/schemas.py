"""Datasets as the API speaks of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from backend.jobs.schemas import ProblemEntry


class DatasetEntry(BaseModel):
    """One folder of the datasets folder."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "tiny-hatch",
                "num_pictures": 20,
                "num_captioned": 20,
                "problems": [],
                "preview_urls": ["/api/datasets/tiny-hatch/pictures/hatch-00.png"],
                "size_bytes": 410_000,
            }
        }
    )
    name: str
    num_pictures: int
    num_captioned: int
    problems: list[ProblemEntry]
    preview_urls: list[str]
    size_bytes: int
