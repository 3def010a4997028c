"""Datasets as the API speaks of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

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
                "preview_urls": ["/api/datasets/tiny-hatch/pictures/hatch-00.png?side=256"],
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


class PictureEntry(BaseModel):
    """One picture of a dataset; width and height in px, upright, as it lies on the disk."""

    name: str
    url: str
    width: int
    height: int
    caption: str
    has_own_caption: bool


class BucketEntry(BaseModel):
    """Pictures of a dataset that train at one size, in px."""

    width: int
    height: int
    resolution: int | None = Field(description="None for pictures that keep their own size.")
    batch_size: int
    num_pictures: int
    num_turns: int = Field(description="In an epoch: pictures x Num Repeats.")
    num_batches: int = Field(description="In an epoch, of all pictures that share them.")
    is_shared: bool = Field(description="Pictures of other rows are in these batches too.")


class DatasetContents(BaseModel):
    """One of a job's datasets. name: blank while none is chosen. pictures: the first, by name."""

    name: str
    num_pictures: int
    num_captioned: int
    pictures: list[PictureEntry]
    buckets: list[BucketEntry]
    problems: list[ProblemEntry]


class JobDatasets(BaseModel):
    """A job's datasets, in its order, and what one epoch over all of them is."""

    datasets: list[DatasetContents]
    num_turns: int
    num_batches: int
    num_steps: float = Field(description="Of the optimizer, for one epoch.")
    num_epochs: float | None = Field(description="That Steps makes; None without pictures.")
    held_out_share: float = Field(description="Of these pictures that will not train.")
