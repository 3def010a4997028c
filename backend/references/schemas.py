"""Reference images as the API speaks of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReferenceEntry(BaseModel):
    """A picture that was brought to be shown to the model."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": ".references/cat.png",
                "width": 768,
                "height": 512,
                "url": "/api/datasets/.references/pictures/cat.png?side=256",
            }
        }
    )
    name: str = Field(description="What goes into a picture's `control_images`.")
    width: int = Field(description="px, upright")
    height: int = Field(description="px, upright")
    url: str = Field(description="Of the picture scaled down; without the query, of the picture.")
