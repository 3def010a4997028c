"""What a rescan found, as the API speaks of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from backend.jobs.schemas import ProblemEntry


class RescanReport(BaseModel):
    """Jobs by name; a name is in one list at most, a problem is said once."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "brought_back": ["tiny-style"],
                "completed": [],
                "unchanged": ["old-style"],
                "left_alone": [],
                "problems": [],
            }
        }
    )
    brought_back: list[str] = Field(description="The database did not know them.")
    completed: list[str] = Field(description="It lacked runs, pictures or checkpoints of them.")
    unchanged: list[str] = Field(description="It knew everything.")
    left_alone: list[str] = Field(description="They wait or train, here or without the database.")
    problems: list[ProblemEntry]
