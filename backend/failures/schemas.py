"""A failure as the API speaks of it: what happened, and the requests that would cure it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.failures.classes import FailureClass


class CureRequest(BaseModel):
    """The request that applies a cure."""

    method: Literal["POST"] = "POST"
    path: str
    body: dict[str, Any] = Field(default_factory=dict)


class CureEffect(BaseModel):
    """What the plan says of the changed job. before, after: at most, in bytes.

    place: of memory, in the phase that failed; of the disk, all that the job writes. available:
    what there is; fits: by the plan, in every phase.
    """

    place: Literal["vram", "ram", "disk"]
    before_bytes: int
    after_bytes: int
    available_bytes: int | None
    fits: bool


class FailureCure(BaseModel):
    """A changed job that would cure the failure; `request` changes and queues it at once."""

    key: str
    title: str
    why: str
    settings: dict[str, Any] = Field(description="What it changes, by dotted path.")
    goes_on_from_step: int | None = Field(
        description="Where the next run begins; None if it begins anew."
    )
    is_new_job: bool = Field(
        description="The change does not fit what was trained: it becomes a job of its own."
    )
    effect: CureEffect | None
    request: CureRequest


class Failure(BaseModel):
    """Why a job failed or was interrupted, where, and what would cure it, the best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "failure_class": "out_of_memory",
                "code": "out_of_memory",
                "message": "Out of memory while training: the GPU ran out of memory.",
                "hint": "In this order: lower Resolutions to at most 896.",
                "likely_cause": "The job takes more memory than there is, or another program held "
                "a part of it.",
                "phase": "train",
                "step": 120,
                "exit_code": 9,
                "signal": None,
                "run": 1,
                "last_lines": ["step 120  loss 0.4123"],
                "cures": [
                    {
                        "key": "resolutions-5f0c2a9b",
                        "title": "Lower Resolutions to at most 896",
                        "why": "Smaller pictures take less of everything; a LoRA serves larger "
                        "pictures too.",
                        "settings": {"datasets.0.resolutions": [768, 896]},
                        "goes_on_from_step": 100,
                        "is_new_job": False,
                        "effect": {
                            "place": "vram",
                            "before_bytes": 26843545600,
                            "after_bytes": 24696061952,
                            "available_bytes": 25769803776,
                            "fits": True,
                        },
                        "request": {
                            "method": "POST",
                            "path": "/api/jobs/1/cures/resolutions-5f0c2a9b",
                            "body": {},
                        },
                    }
                ],
            }
        }
    )
    failure_class: FailureClass
    code: str
    message: str
    hint: str
    likely_cause: str
    phase: str | None
    step: int | None
    exit_code: int | None = Field(description="Negative: the signal that ended it.")
    signal: str | None = Field(description="Its name, as SIGKILL.")
    run: int | None = Field(description="Number of the run that failed.")
    last_lines: list[str] = Field(description="Of its log, up to 30.")
    cures: list[FailureCure]
