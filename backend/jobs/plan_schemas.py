"""The memory plan as the API speaks of it. Sizes are in bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.jobs.schemas import EXAMPLE_CONFIG

PhaseOfPlan = Literal["encode_pictures", "encode_texts", "load", "train", "sample", "save"]
FolderOfPlan = Literal["cache", "output", "models"]


class MachineToPlanFor(BaseModel):
    """A machine other than this one."""

    model_config = ConfigDict(extra="forbid")
    vram_bytes: int | None = Field(default=None, gt=0, description="None for one without a GPU.")
    ram_bytes: int = Field(gt=0)


class JobToPlan(BaseModel):
    """A config, which the schema must accept, and the machine to plan for."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"config": EXAMPLE_CONFIG}}
    )
    config: dict[str, Any]
    machine: MachineToPlanFor | None = Field(
        default=None, description="Left out: each device here that the config may run on."
    )


class MemoryEntry(BaseModel):
    """Something in its place at that place's largest moment of a phase. key: a stable name."""

    key: str
    label: str
    place: Literal["vram", "ram"]
    num_bytes: int


class PhaseEntry(BaseModel):
    """A phase at its largest moments, of the card and of the host."""

    phase: PhaseOfPlan
    label: str
    vram_bytes: int
    ram_bytes: int
    parts: list[MemoryEntry]


class DiskEntry(BaseModel):
    """Something that the job writes, at most. key: a stable name."""

    key: str
    label: str
    folder: FolderOfPlan
    num_bytes: int


class PlanShortfall(BaseModel):
    """Something that does not fit: a phase's memory, or the disk of a folder and those beside it.

    path: the folder that has the most to take on that disk.
    """

    message: str
    missing: Literal["vram", "ram", "disk"]
    phase: PhaseOfPlan | None
    folder: FolderOfPlan | None
    path: str | None
    needed_bytes: int
    available_bytes: int


class PlanChange(BaseModel):
    """Settings that make the job fit when they are set together, by dotted path.

    vram_bytes, ram_bytes: the largest that the changed job then takes in any phase.
    """

    label: str
    settings: dict[str, Any]
    vram_bytes: int
    ram_bytes: int
    fits: bool


class PlannedTime(BaseModel):
    """What like jobs took on this device. sampling_seconds: of one sampling; None where none of
    them drew pictures of that size, and `seconds` is then without samplings.
    """

    seconds: float
    step_seconds: float
    sampling_seconds: float | None
    num_jobs: int


class DevicePlan(BaseModel):
    """The plan on one device, and the verdict.

    device: its id, or `given`. fits: in memory. fits_the_disk: there is room for what it writes.
    The offload percents are what *auto* is settled to, 0 when nothing is streamed. changes: the
    smallest ones that fit memory, the least costly first; disk_changes: those that fit the disk.
    Empty if it fits or nothing helps.
    """

    device: str
    name: str
    vram_bytes: int | None
    ram_bytes: int
    fits: bool
    fits_the_disk: bool
    transformer_offload_percent: float
    text_encoder_offload_percent: float
    phases: list[PhaseEntry]
    disk: list[DiskEntry]
    shortfalls: list[PlanShortfall]
    changes: list[PlanChange]
    disk_changes: list[PlanChange]
    time: PlannedTime | None = Field(description="None until a job like it has run there.")


class JobPlan(BaseModel):
    """One plan for each device; none while no worker has said what there is."""

    devices: list[DevicePlan]
